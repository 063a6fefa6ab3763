/* Starts when the page and its data are loaded. */

document.addEventListener("DOMContentLoaded", () => {
  register();
  document.querySelectorAll("table.scores, table.heat").forEach(sortable);
  document.querySelectorAll("button[data-copies]").forEach(copyable);
  const galleries = new Map(Object.entries(window.grids ?? {})
    .map(([anchor, data]) => [anchor, new Gallery(document.getElementById(anchor), data)]));
  /* A number links to the pictures behind it, the worst first. */
  document.querySelectorAll("a[data-metric]").forEach((link) => link.addEventListener("click", () => {
    const gallery = galleries.get(link.dataset.grid);
    const metric = gallery?.data.metrics.findIndex(({ key }) => key === link.dataset.metric) ?? -1;
    const cell = gallery?.data.columns.findIndex(({ name, given }) => name === link.dataset.cell && !given) ?? -1;
    if (metric >= 0 && cell >= 0) gallery.by(metric, cell);
  }));
  const dialog = document.getElementById("item");
  if (dialog) new Item(dialog, galleries);
});
