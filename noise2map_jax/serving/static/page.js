"use strict";
const form = document.getElementById("form");
const state = document.getElementById("state");
const result = document.getElementById("result");
const view = document.getElementById("view");
const swipe = document.getElementById("swipe");
const names = {
  "map.tif": "Map (GeoTIFF)",
  "probability.tif": "Probability (GeoTIFF)",
  "polygons.geojson": "Polygons (GeoJSON)",
};
let links = {};

function say(text, isError) {
  state.textContent = text;
  state.className = isError ? "error" : "";
}

function list(id, items) {
  const place = document.getElementById(id);
  place.replaceChildren(...items);
}

function item(child) {
  const element = document.createElement("li");
  element.append(child);
  return element;
}

function download(file) {
  const link = document.createElement("a");
  link.href = links[file];
  link.download = file;
  link.textContent = names[file];
  return item(link);
}

function under() {
  const chosen = document.querySelector("input[name=date]:checked");
  document.getElementById("under").src = links[chosen ? chosen.value : "before.png"];
}

async function send(body) {
  // A full queue asks to come back: nothing is lost, it only takes longer.
  for (;;) {
    const response = await fetch("/maps", { method: "POST", body });
    if (response.status !== 503) return response;
    say("Others are before you; waiting …");
    const seconds = Number(response.headers.get("Retry-After")) || 2;
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  result.hidden = true;
  say("Mapping …");
  try {
    const response = await send(new FormData(form));
    const answer = await response.json();
    if (!response.ok) {
      say(answer.error || `The service answered ${response.status}.`, true);
      return;
    }
    links = answer.results;
    under();
    document.getElementById("over").src = links["map.png"];
    list("files", Object.keys(names).filter((file) => links[file]).map(download));
    list("notes", answer.notes.map((note) => item(note)));
    result.hidden = false;
    say("Done.");
    swipe.focus();
  } catch (error) {
    say(`The service cannot be reached (${error.message}).`, true);
  } finally {
    button.disabled = false;
  }
});

swipe.addEventListener("input", () => view.style.setProperty("--split", `${swipe.value}%`));
for (const radio of document.querySelectorAll("input[name=date]")) radio.addEventListener("change", under);
