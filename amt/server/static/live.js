/** Refresh the counts of a study's page, which works without this script. */

const EVERY_MS = 5000;
const note = document.getElementById("live");

setInterval(() => {
  if (!document.hidden) refresh();
}, EVERY_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

async function refresh() {
  let current;
  try {
    const answer = await fetch("counts", { redirect: "manual", signal: AbortSignal.timeout(EVERY_MS) });
    if (answer.type === "opaqueredirect") return location.reload(); // the login has ended
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    current = await answer.json();
  } catch {
    note.textContent = "The server does not respond; these counts may be outdated.";
    return;
  }
  if (current.state !== document.body.dataset.state) return location.reload();
  show(current.counts);
  note.textContent = `As of ${new Date().toLocaleTimeString()}, refreshed every ${EVERY_MS / 1000} seconds.`;
}

function show(counts) {
  for (const element of document.querySelectorAll("[data-count]")) {
    element.textContent = counts[element.dataset.count].toLocaleString("en");
  }
  for (const bar of document.querySelectorAll("[data-bar]")) {
    const [done, running, slots] = ["done", "running", "places"].map((key) => counts[`${bar.dataset.bar}.${key}`]);
    bar.querySelector(".done").setAttribute("width", (100 * done) / slots);
    bar.querySelector(".running").setAttribute("width", (100 * (done + running)) / slots);
  }
}
