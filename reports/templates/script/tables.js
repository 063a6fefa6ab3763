/* Tables: sorting by a click on a head, and copying as LaTeX. */

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  heads.forEach((head, index) => {
    if (head.dataset.sort === undefined) return;
    const button = element("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head, index));
  });

  function sort(head, index) {
    const first = head.dataset.sort === "text" || head.dataset.sort === "low" ? "ascending" : "descending";
    const second = first === "ascending" ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort");
    const next = now === first ? second : now === second ? null : first;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    if (next) head.setAttribute("aria-sort", next);
    const rows = next ? ordered(index, next === "ascending" ? 1 : -1) : original;
    body.append(...rows);
  }

  function ordered(index, way) {
    const movable = original.filter((row) => !row.classList.contains("real"));
    const fixed = original.filter((row) => row.classList.contains("real"));
    const key = (row) => row.cells[index].dataset.value;
    const known = movable.filter((row) => key(row) !== undefined && key(row) !== "");
    const unknown = movable.filter((row) => !known.includes(row));
    const compare = known.every((row) => !Number.isNaN(Number(key(row))))
      ? (a, b) => Number(key(a)) - Number(key(b))
      : (a, b) => key(a).localeCompare(key(b), undefined, { numeric: true });
    return [...known.sort((a, b) => way * compare(a, b)), ...unknown, ...fixed];
  }
}

function copyable(button) {
  button.hidden = false;
  const said = button.textContent;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copies).value;
    button.textContent = (await copied(text)) ? "Copied" : "Not copied: select it in the file";
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    /* Pages on disk may lack the clipboard: the old way needs a selection. */
    const focused = document.activeElement;
    const area = element("textarea", { readonly: true, class: "offscreen", "aria-label": "LaTeX" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused.focus();
    return done;
  }
}
