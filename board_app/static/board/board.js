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

showLocalTimes(document);
