// What goes wrong before page.js can say it. This file is no module, so it runs even where modules are not loaded.

function fail(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.className = "error";
}

addEventListener("DOMContentLoaded", () => {
  if (location.protocol === "file:") {
    fail("A browser does not load a model from a file. Run: python -m http.server in this folder, and open"
      + " http://localhost:8000");
  } else if (typeof WebAssembly !== "object") {
    fail("This browser has no WebAssembly, which the model needs. A newer browser has it.");
  }
});

// A file of the page that was not loaded. Such errors do not bubble, so we listen on their way down (true).
addEventListener("error", (event) => {
  if (event.target instanceof HTMLScriptElement && location.protocol !== "file:") {
    fail("page.js or a file that it imports was not loaded. Is the folder complete, and does the server send .js files"
      + " as text/javascript?");
  }
}, true);
