"use strict";
/* Small tools: elements, and where a picture's bytes are. */

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/* A report in one file holds its pictures as data: those of the page itself in its images, the others in a table. */
function source(name) {
  return window.files ? window.files[name] ?? "" : name;
}

function register() {
  if (!window.files) return;
  for (const shown of document.querySelectorAll("img[data-name]")) window.files[shown.dataset.name] = shown.src;
}

function numbered(number, digits) {
  return String(number).padStart(digits, "0");
}

function decimals(value, digits) {
  return value.toFixed(digits).replace("-", "\u2212");
}
