// What the pages of the board do in the browser.
"use strict";

const TWO = (number) => String(number).padStart(2, "0");

// The server says times in UTC; whoever reads them has a clock of their own.
function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const day = `${at.getFullYear()}-${TWO(at.getMonth() + 1)}-${TWO(at.getDate())}`;
    const time = `${TWO(at.getHours())}:${TWO(at.getMinutes())}:${TWO(at.getSeconds())}`;
    const today = at.toDateString() === new Date().toDateString();
    element.textContent = today ? time : `${day} ${time}`;
    element.title = `${day} ${time}, your time`;
  }
}

const UNITS = [["d", 86_400], ["h", 3_600], ["min", 60]];

// How long ago something began, by the reader's clock: in the two largest units, as "2 h 5 min ago".
function duration(milliseconds) {
  let left = Math.floor(milliseconds / 1000);
  const parts = [];
  for (const [unit, seconds] of UNITS) {
    const count = Math.floor(left / seconds);
    left -= count * seconds;
    if (count || parts.length) parts.push(`${count} ${unit}`);
  }
  return parts.length ? `${parts.slice(0, 2).join(" ")} ago` : "just now";
}

function showDurations(root) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const text = duration(Date.now() - new Date(element.dataset.since));
    if (element.textContent !== text) element.textContent = text;
  }
}

showLocalTimes(document);
showDurations(document);
setInterval(() => showDurations(document), 10_000);
