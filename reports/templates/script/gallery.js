/* The gallery: other items, ordered by what they scored. */

const PAGE = 12;

class Gallery {
  constructor(section, data) {
    this.anchor = section.id;
    this.data = data;
    this.table = section.querySelector(".pictures");
    this.controls = section.querySelector(".controls");
    this.status = section.querySelector(".order-said");
    this.more = section.querySelector(".more");
    [this.metric, this.cell, this.how] = this.controls.querySelectorAll("select");
    data.metrics.forEach((metric, index) => this.metric.append(element("option", { value: index }, metric.label)));
    data.columns.forEach((column, index) => {
      if (!column.given) this.cell.append(element("option", { value: index }, column.name));
    });
    this.controls.hidden = !data.metrics.length;
    const first = this.table.dataset.items.split(" ").map(Number);
    this.order = this.plain([...first, ...this.all().filter((item) => !first.includes(item))]);
    this.shown = first.length;
    this.more.hidden = this.shown >= this.order.length;
    for (const select of [this.metric, this.cell, this.how]) select.addEventListener("change", () => this.reorder());
    this.more.querySelector("button").addEventListener("click", () => this.showMore().querySelector("a").focus({ preventScroll: true }));
    this.name();
  }

  /* Labels of the two ends: a metric without a direction has lowest and highest. */
  name() {
    const ranked = this.chosen()?.better;
    const [low, high] = ranked === "" ? ["lowest", "highest"] : ["worst", "best"];
    const texts = { worst: `${low} first`, best: `${high} first`, spread: `${low}, median and ${high}` };
    for (const option of this.how.options) option.textContent = texts[option.value];
    this.ends = [low, high];
  }

  all() {
    return this.data.items.map((_, item) => item);
  }

  plain(items) {
    return items.map((item) => ({ item, group: "" }));
  }

  chosen() {
    return this.metric.value === "" ? null : this.data.metrics[Number(this.metric.value)];
  }

  by(metric, cell, how = "worst") {
    this.metric.value = String(metric);
    this.cell.value = String(cell);
    this.how.value = how;
    this.reorder();
  }

  reorder() {
    this.name();
    const metric = this.chosen();
    this.how.disabled = this.cell.disabled = !metric;
    this.order = metric ? this.ordered(metric) : this.plain(this.all());
    this.table.tBodies[0].replaceChildren();
    this.shown = 0;
    this.showMore();
    const without = metric ? this.data.items.length - this.known(metric).length : 0;
    this.status.textContent = without ? `${without} of ${this.data.items.length} items lack this score and are omitted.` : "";
  }

  known(metric) {
    return this.all().map((item) => ({ item, value: this.value(metric, item) })).filter(({ value }) => value != null);
  }

  value(metric, item) {
    if (this.cell.value !== "") return metric.values[Number(this.cell.value)]?.[item];
    const found = this.data.columns.flatMap((column, index) =>
      column.given ? [] : [metric.values[index]?.[item]]).filter((value) => value != null);
    return found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
  }

  ordered(metric) {
    const sign = metric.better === "low" ? -1 : 1;
    const worst = this.known(metric).sort((a, b) => sign * (a.value - b.value) || a.item - b.item)
      .map(({ item }) => item);
    if (this.how.value === "best") return this.plain(worst.reverse());
    if (this.how.value === "worst") return this.plain(worst);
    const third = Math.floor(PAGE / 3);
    const middle = Math.max(0, Math.floor((worst.length - third) / 2));
    const parts = [[this.ends[0], 0], ["median", middle], [this.ends[1], Math.max(0, worst.length - third)]];
    const seen = new Set();
    return parts.flatMap(([group, start]) => worst.slice(start, start + third)
      .filter((item) => !seen.has(item) && seen.add(item)).map((item) => ({ item, group })));
  }

  /* Appends the next items in order; returns the first new row. */
  showMore() {
    const rows = this.order.slice(this.shown, this.shown + PAGE).map(({ item, group }) => this.row(item, group));
    this.table.tBodies[0].append(...rows);
    this.shown += rows.length;
    this.more.hidden = this.shown >= this.order.length;
    this.table.caption.firstElementChild.textContent = `${this.shown} of ${this.data.items.length} item${this.data.items.length === 1 ? "" : "s"}.`;
    return rows[0];
  }

  row(item, group) {
    const first = this.data.columns[0];
    const withInput = first.given && first.name === "input";
    const head = element("th", { scope: "row" });
    if (withInput) head.append(this.tile(item, 0));
    head.append(element("span", { class: "item" }, element("bdi", {}, this.data.items[item])));
    if (group) head.append(element("span", { class: "group" }, group));
    const cells = this.data.columns.slice(withInput ? 1 : 0)
      .map((_, index) => element("td", {}, this.tile(item, index + (withInput ? 1 : 0))));
    return element("tr", {}, head, ...cells);
  }

  tile(item, index) {
    const link = element("a", { href: `#${this.anchor}/${item}/${index}`, class: "tile" },
      picture(this.anchor, this.data, item, index, false));
    const metric = this.chosen();
    const value = metric?.values[index]?.[item];
    if (value != null) link.append(element("span", { class: "score" }, decimals(value, metric.digits)));
    return link;
  }
}

function picture(anchor, data, item, index, large) {
  const column = data.columns[index];
  const state = column.pictures[item];
  const alt = `${column.name}, ${data.items[item]}`;
  if (state === "-" || state === "x") {
    const note = state === "x" ? "unreadable" : "no picture";
    return element("span", { class: "empty", role: "img", "aria-label": `${alt}: ${note}` }, note);
  }
  const thumb = state === "j" && !large && data.enlarge <= 128 && window.devicePixelRatio < 1.5;
  const stem = `assets/${anchor}/${numbered(index, 2)}-${numbered(item, 4)}`;
  const name = stem + (state === "p" ? ".png" : thumb ? "t.jpg" : ".jpg");
  const enlarged = Math.max(...column.widths) < (large ? 256 : data.enlarge);
  return element("img", { src: source(name), alt, loading: "lazy", class: enlarged && "enlarged" });
}
