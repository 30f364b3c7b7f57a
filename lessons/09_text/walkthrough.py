# %% [markdown]
# # Lesson 09: word pieces, masking, next sentences
# `python lessons/09_text/walkthrough.py`, some seconds. It runs the functions of this lesson's tasks: in a student
# edition it works once they are written. The text is Moby-Dick from `data/`; each tenth chapter is held out.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.text.batches import assemble_pairs
from minimobilebert.text.corpus import DATA_FOLDER, read_documents
from minimobilebert.text.masking import mask_tokens
from minimobilebert.text.pretraining_examples import make_pretraining_examples, tokenize_documents
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.text.wordpiece_trainer import count_words, train_wordpiece

stop_where_one_is_missing()

toy = WordPieceTokenizer([*SPECIAL_TOKENS, *"un aff unit ##aff ##able a ab ##bcd ##c ##d ##s".split()])
# %% [markdown]
# ## 1. By hand

# %%
print("1. By hand")
for word in ("unaffable", "units", "abcd", "affs", "unaffx"):
    print(f"{word:<10} {' '.join(toy.tokenize(word))}")

# %% [markdown]
# ## 2. How large should a vocabulary be?
# Pieces a word of the held-out chapters, for vocabularies learned from the others.

# %%
print("\n2. How large should a vocabulary be?")
chapters = read_documents(DATA_FOLDER / "moby-dick.tar.bz2")
training, held_out = [c for i, c in enumerate(chapters) if i % 10], chapters[::10]
counts, fresh = count_words(training), count_words(held_out)
total, unseen = sum(fresh.values()), [word for word in fresh if word not in counts]
print(f"{len(training)} chapters, {sum(counts.values())} words, {len(counts)} different ones")
print(f"held out: {total} words; {sum(fresh[w] for w in unseen)} of them never occur in the other chapters")


def fewest_pieces(word, pieces):
    """The smallest number of pieces that a word can be cut into, by any cut; None without one"""
    best = [0] + [None] * len(word)
    for b in range(1, len(word) + 1):
        ways = [best[a] + 1 for a in range(b) if best[a] is not None and ("##" if a else "") + word[a:b] in pieces]
        best[b] = min(ways, default=None)
    return best[-1]


SIZES = (250, 500, 1000, 2000, 4000, 8000)
print("vocabulary   pieces a word   whole words   embedding, 128 wide   greedy is not the shortest cut")
pieces_a_word = []
for size in SIZES:
    tokenizer = WordPieceTokenizer(train_wordpiece(counts, size, progress=False))
    known = set(tokenizer.vocab)
    cuts = {word: tokenizer.tokenize(word) for word in fresh}
    pieces_a_word.append(sum(fresh[w] * len(cut) for w, cut in cuts.items()) / total)
    whole = sum(fresh[w] for w, cut in cuts.items() if cut == [w]) / total
    longer = [w for w, cut in cuts.items() if "[UNK]" not in cut and len(cut) > fewest_pieces(w, known)]
    share = sum(fresh[w] for w in longer) / total
    print(f"{size:>10} {pieces_a_word[-1]:>15.3f} {whole:>12.1%} {size * 128:>17} numbers {share:>18.2%}"
          f"   {longer[0] if longer else '-'}: {' '.join(cuts[longer[0]]) if longer else ''}")  # fmt: skip

plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(4.6, 2.6))
    axes.plot(SIZES, pieces_a_word, color="#1b6ca8", marker="o", markersize=3)
    axes.set(xscale="log", xlabel="pieces in the vocabulary", ylabel="pieces a word", ylim=(1.0, None))
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    save(plt, figure, __file__, "vocabulary")

# %% [markdown]
# ## 3. Next sentences
# A is one run of sentences, B the next one or one from another chapter, by a fair coin.

# %%
print("\n3. Next sentences")
tokenizer = WordPieceTokenizer(train_wordpiece(counts, 4000, progress=False))
documents = tokenize_documents(training, tokenizer, progress=False)
print("length   pairs   B is random")
for length in (16, 32, 64, 128, 256):
    examples = make_pretraining_examples(documents, length, np.random.default_rng(9))
    print(f"{length:>6} {len(examples.a_spans):>7} {examples.next_sentence_labels.mean():>12.1%}")

# %% [markdown]
# ## 4. Masks
# One pair before and after, then the shares in 400 pairs.

# %%
print("\n4. Masks")
examples = make_pretraining_examples(documents, 64, np.random.default_rng(9))
ids, types, mask = assemble_pairs(examples.pieces, examples.a_spans[:400], examples.b_spans[:400], tokenizer, 64)
masked, positions, labels = mask_tokens(ids, mask, tokenizer, 20, np.random.default_rng(1))
row = 3
first, second = (tokenizer.decode(ids[row][types[row] == segment]) for segment in (0, 1))
print(f"segment A, B    {first} | {second}")
print(f"masked          {tokenizer.decode(masked[row][mask[row]], skip_special_tokens=False)}")
print(f"to be predicted {' '.join(tokenizer.vocab[i] for i in labels[positions // 64 == row])}")
after = masked.reshape(-1)[positions]
print(f"\nreal tokens {mask.sum()}, chosen {len(positions)} ({len(positions) / mask.sum():.2%})")
print(f"of the chosen: [MASK] {np.mean(after == tokenizer.mask_id):.1%}, unchanged {np.mean(after == labels):.1%}, "
      f"another piece {np.mean((after != tokenizer.mask_id) & (after != labels)):.1%}")  # fmt: skip

# %% [markdown]
# ## 5. What can be trusted
# A visible piece is the right one unless it is one of the random tenth. And how often is a word not chosen in any of
# the times a model sees it? Masks are drawn anew each time.

# %%
print("\n5. What can be trusted")
visible = mask & (masked != tokenizer.mask_id) & (ids != tokenizer.cls_id) & (ids != tokenizer.sep_id)
print(f"of {visible.sum()} visible pieces {(masked[visible] != ids[visible]).mean():.2%} are not what was written")
ever = np.zeros(ids.size, bool)
words = (mask & (ids != tokenizer.cls_id) & (ids != tokenizer.sep_id)).reshape(-1)
rng = np.random.default_rng(2)
for time in range(1, 41):
    ever[mask_tokens(ids, mask, tokenizer, 20, rng)[1]] = True
    if time in (1, 5, 10, 20, 40):
        print(f"after {time:>2} times {1 - ever[words].mean():>6.1%} of the words were never asked for")
