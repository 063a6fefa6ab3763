"use strict";
/* Creation of elements, and sources of pictures. */

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/* A report in one file holds its pictures as data URLs: in the page's images, or in the table window.files. */
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
