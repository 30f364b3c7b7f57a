// Answers as rows: a number, a bar of its size, and a text. Texts are set with textContent, so that a text with tags
// stays a text.

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// found: [{text, value}] with values up to 1; shown: value -> text -> a list
export function rows(found, shown) {
  const list = element("ol", "", "rows");
  for (const { text, value } of found) {
    const row = element("li");
    const bar = element("span", "", "bar"); // empty for those who listen: the number says it
    bar.append(element("span"));
    bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, value))}%`;
    row.append(element("span", shown(value), "number"), bar, element("span", text, "text"));
    list.append(row);
  }
  return list;
}

export const percent = (value) => `${(100 * value).toFixed(1)} %`;

// What a text field holds; an error if that is nothing
export function textOf(section, selector, name) {
  const text = section.querySelector(selector).value;
  if (!text.trim()) throw new Error(`${name}: write something first.`);
  return text;
}

// The rows of an answer, as data for programs that use the page
export function result(output, value) {
  output.dataset.result = JSON.stringify(value);
}

// The indices of the largest numbers, the largest first; of equal ones the first
export function largest(numbers, count) {
  const indices = Array.from(numbers, (_, i) => i);
  return indices.sort((a, b) => numbers[b] - numbers[a] || a - b).slice(0, count);
}
