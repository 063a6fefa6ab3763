/* Dialog of one item: two pictures under a slider, then each cell with label map, errors and scores. */

class Item {
  constructor(dialog, galleries) {
    this.dialog = dialog;
    this.galleries = galleries;
    this.title = dialog.querySelector("h2");
    this.cards = dialog.querySelector(".cards");
    this.slider = dialog.querySelector("input[type=range]");
    [this.left, this.right] = dialog.querySelectorAll("select");
    this.stage = dialog.querySelector(".stage");
    this.slider.addEventListener("input", () => this.slide());
    for (const select of [this.left, this.right]) select.addEventListener("change", () => this.compare());
    dialog.querySelector(".before").addEventListener("click", () => this.step(-1));
    dialog.querySelector(".after").addEventListener("click", () => this.step(1));
    this.following = false; /* whether the dialog closes because the address changed, which may have changed again by then */
    dialog.addEventListener("close", () => {
      if (!this.following && location.hash.includes("/")) history.replaceState(null, "", location.pathname + location.search);
      this.following = false;
    });
    dialog.addEventListener("keydown", (event) => {
      const withOther = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey; /* such as for Back */
      if (withOther || event.target.matches("select, input")) return;
      if (event.key === "ArrowLeft") this.step(-1);
      if (event.key === "ArrowRight") this.step(1);
    });
    window.addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  follow() {
    const found = /^#([a-z0-9-]+)\/(\d+)\/(\d+)$/.exec(location.hash);
    const gallery = found && this.galleries.get(found[1]);
    if (gallery && gallery.data.items[found[2]] !== undefined && gallery.data.columns[found[3]]) {
      this.open(gallery, Number(found[2]), Number(found[3]));
    } else if (this.dialog.open) {
      this.following = true;
      this.dialog.close();
    }
  }

  open(gallery, item, index) {
    if (this.gallery !== gallery) {
      for (const select of [this.left, this.right]) {
        select.replaceChildren(...gallery.data.columns.map((column, number) =>
          element("option", { value: number }, column.name)));
      }
    }
    const last = gallery.data.columns.length - 1;
    const other = gallery.data.against?.[index] ?? (index === last ? Math.max(0, last - 1) : last);
    const inOrder = gallery.order.map((each) => each.item);
    const order = inOrder.includes(item) ? inOrder : gallery.data.items.map((_, number) => number);
    Object.assign(this, { gallery, item, order });
    this.dialog.style.setProperty("--aspect", getComputedStyle(gallery.table).getPropertyValue("--aspect"));
    this.left.value = String(index);
    this.right.value = String(other);
    this.show();
    if (!this.dialog.open) this.dialog.showModal();
  }

  step(way) {
    const next = this.order[this.order.indexOf(this.item) + way];
    if (next === undefined) return;
    this.item = next;
    history.replaceState(null, "", `#${this.gallery.anchor}/${next}/${this.left.value}`);
    this.show();
  }

  show() {
    const { data } = this.gallery;
    this.title.replaceChildren(element("bdi", {}, data.items[this.item]));
    this.dialog.querySelector(".before").disabled = this.item === this.order[0];
    this.dialog.querySelector(".after").disabled = this.item === this.order.at(-1);
    this.compare();
    this.cards.replaceChildren(...data.columns.map((_, index) => this.card(index)));
  }

  compare() {
    const { anchor, data } = this.gallery;
    const both = [this.left, this.right].map((select) => picture(anchor, data, this.item, Number(select.value), true));
    both[0].classList.add("over");
    both.forEach((shown) => { shown.loading = "eager"; });
    this.stage.replaceChildren(both[1], both[0], element("span", { class: "divider" }));
    this.slide();
  }

  slide() {
    this.stage.style.setProperty("--at", `${this.slider.value}%`);
    const [left, right] = [this.left, this.right].map((select) => select.selectedOptions[0]?.textContent);
    this.slider.setAttribute("aria-valuetext", `${this.slider.value} percent ${left}, the rest ${right}`);
  }

  card(index) {
    const { anchor, data } = this.gallery;
    const column = data.columns[index];
    const head = element("h3", {}, element("bdi", {}, column.name));
    if (column.seed != null && column.seed !== 0) head.append(element("small", {}, ` seed ${column.seed}`));
    const card = element("article", { class: "card" }, head, picture(anchor, data, this.item, index, true));
    const number = numbered(this.item, 4);
    const stem = `${numbered(index, 2)}-${number}.png`;
    const segmented = data.segmented[index]?.[this.item] === "1";
    const truth = data.truth[this.item] === "1";
    if (segmented) card.append(this.map(`s${stem}`, "segmentation"));
    if (segmented && truth) card.append(this.map(`e${stem}`, "errors"));
    if (truth && index === data.columns.length - 1) card.append(this.map(`t-${number}.png`, "true labels"));
    const scores = data.metrics.filter((metric) => metric.values[index]?.[this.item] != null);
    for (const scorer of new Set(scores.map((metric) => metric.scorer))) {
      const its = scores.filter((metric) => metric.scorer === scorer);
      card.append(element("h4", {}, scorer), element("dl", {}, ...its.map((metric) => element("div", {},
        element("dt", {}, metric.short),
        element("dd", {}, decimals(metric.values[index][this.item], metric.digits))))));
    }
    return card;
  }

  map(name, what) {
    const { anchor, data } = this.gallery;
    return element("figure", {},
      element("img", { src: source(`assets/${anchor}/${name}`), class: "enlarged",
        alt: `${what}, ${data.items[this.item]}` }),
      element("figcaption", {}, what));
  }
}
