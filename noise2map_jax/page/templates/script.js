"use strict";
// Tables: a click on a header sorts, a second one turns the order round, a third one brings back
// the order that the page came with.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const initial = headers.map((header) => header.getAttribute("aria-sort"));
  const sort = (header, isNumeric) => {
    const first = isNumeric ? "descending" : "ascending";
    const second = isNumeric ? "ascending" : "descending";
    const last = table.dataset.sortedBy === String(header.cellIndex) ? table.dataset.order : "";
    const order = last === "" ? first : last === first ? second : "";
    table.dataset.sortedBy = header.cellIndex;
    table.dataset.order = order;
    if (!order) {
      headers.forEach((other, i) => other.setAttribute("aria-sort", initial[i]));
      return body.append(...original);
    }
    headers.forEach((other) => other.setAttribute("aria-sort", other === header ? order : "none"));
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[header.cellIndex];
      return cell.dataset.value ?? cell.textContent.trim();
    };
    const compare = (a, b) => {
      const [left, right] = [key(a), key(b)];
      // What is not known comes last, whichever the order.
      if (left === "" || right === "") return (left === "") - (right === "");
      if (isNumeric) return sign * (Number(left) - Number(right));
      return sign * left.localeCompare(right, "en", { numeric: true });
    };
    body.append(...[...original].sort(compare));
  };
  for (const button of table.tHead.querySelectorAll("button.sort")) {
    const isNumeric = "numeric" in button.dataset;
    button.addEventListener("click", () => sort(button.closest("th"), isNumeric));
  }
}

// Legends: a click hides or shows a variant in the plots of the same section.
for (const button of document.querySelectorAll("button.toggle")) {
  button.addEventListener("click", () => {
    const isShown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isShown));
    const chosen = `figure .series[data-series="${button.dataset.series}"]`;
    for (const line of button.closest("section").querySelectorAll(chosen)) {
      line.classList.toggle("off", !isShown);
    }
  });
}

// Scenes: one slider, or a drag across any map, moves all maps of a scene.
for (const scene of document.querySelectorAll(".scene")) {
  const range = scene.querySelector("input.wipe");
  const move = () => scene.style.setProperty("--wipe", `${range.value}%`);
  range.addEventListener("input", move);
  move();
  for (const picture of scene.querySelectorAll(".picture.under")) {
    const drag = (event) => {
      const box = picture.getBoundingClientRect();
      range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      move();
    };
    picture.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      picture.setPointerCapture(event.pointerId);
      drag(event);
    });
    picture.addEventListener("pointermove", (event) => {
      if (picture.hasPointerCapture(event.pointerId)) drag(event);
    });
  }
}
