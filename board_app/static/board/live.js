// Keeps the board live: events of the server's stream say which items have changed, and their rows are read anew.
// The server renders every row, so a row looks the same however it came.
"use strict";

(() => {
  // Changes within this time are read together, so that many changes a second are a few requests a second.
  const GAP_MS = 250;
  // Heartbeats, new cones and the time of silence change without an event to everybody.
  const POLL_MS = 10_000;
  // A request that gets no answer for so long is lost.
  const PATIENCE_MS = 10_000;
  // Before the next try, at random, so that the boards of a restarted server do not come back in one moment.
  const RETRY_MS = [500, 2_500];
  // The server reads no more items at once.
  const MAX_ITEMS = 100;
  const MAX_ROWS = 100;
  // For so long a row that ended is still seen, and a changed one is marked.
  const SEEN_MS = 2_500;

  const board = document.getElementById("board");
  const body = document.getElementById("rows");
  const sign = document.getElementById("live");
  const count = document.getElementById("count");
  const nobody = document.getElementById("nobody");
  const next = document.getElementById("next");
  // The places in line of a page about one item, user or workstation; the board has none.
  const places = document.getElementById("places");
  const chosen = new URLSearchParams(board.dataset.query);
  const isFirstPage = !chosen.has("before");

  let stream = null;
  let streamIsOpen = false;
  let answers = true;
  let lostSince = null;
  let reading = false;
  let readAll = false;
  let changedItems = new Set();
  let lastRead = 0;
  let polling = null;
  let opening = null;

  const soon = () => RETRY_MS[0] + Math.random() * (RETRY_MS[1] - RETRY_MS[0]);
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const tokenOf = (row) => Number(row.dataset.token);
  const rowsNow = () => body.querySelectorAll("tr:not(.gone)");

  function showState() {
    let state = "live";
    let text = "Live: changes appear by themselves.";
    if (document.hidden) {
      [state, text, lostSince] = ["paused", "Paused while this page is hidden.", null];
    } else if (streamIsOpen && answers) {
      lostSince = null;
    } else if (lostSince !== null) {
      const since = lostSince.toTimeString().slice(0, 8);
      [state, text] = ["lost", `Connection lost at ${since}. This may be out of date; trying again…`];
    } else {
      [state, text] = ["opening", "Connecting…"];
    }
    board.dataset.state = state;
    sign.dataset.state = state;
    if (sign.textContent !== text) sign.textContent = text;
  }

  function lose() {
    lostSince ??= new Date();
    showState();
  }

  function openStream() {
    clearTimeout(opening);
    closeStream();
    if (document.hidden) return;
    stream = new EventSource(board.dataset.stream);
    stream.addEventListener("stream-open", () => {
      streamIsOpen = true;
      // Whatever happened before is in what is read from now on, and what happens later is an event.
      read();
    });
    stream.addEventListener("stream-reset", () => read());
    for (const name of board.dataset.changes.split(" ")) stream.addEventListener(name, change);
    // A browser tries again after some errors and gives up after others: here it is always a new stream.
    stream.addEventListener("error", () => {
      closeStream();
      lose();
      opening = setTimeout(openStream, soon());
    });
  }

  function closeStream() {
    stream?.close();
    stream = null;
    streamIsOpen = false;
  }

  function change(event) {
    const item = JSON.parse(event.data).item_id;
    const begins = event.type === "edit.session_acquired" && isFirstPage;
    const waits = event.type === "edit.line_changed" && places;
    if (begins || waits || body.querySelector(`tr[data-item="${item}"]`)) {
      changedItems.add(item);
      pump();
    }
  }

  function read() {
    readAll = true;
    pump();
  }

  async function pump() {
    if (reading) return;
    reading = true;
    while ((readAll || changedItems.size) && !document.hidden) {
      await pause(Math.max(0, lastRead + GAP_MS - performance.now()));
      lastRead = performance.now();
      const items = readAll || changedItems.size > MAX_ITEMS ? null : changedItems;
      readAll = false;
      changedItems = new Set();
      try {
        show(await fetchRows(items), items);
        answers = true;
        showState();
      } catch {
        answers = false;
        readAll = true;
        lose();
        await pause(soon());
      }
    }
    reading = false;
    clearTimeout(polling);
    polling = setTimeout(read, POLL_MS);
  }

  async function fetchRows(items) {
    const query = new URLSearchParams(chosen);
    if (items) {
      query.set("items", [...items].join(","));
      const last = [...rowsNow()].at(-1);
      query.set("lowest", last && !next.hidden ? last.dataset.token : "0");
    }
    if (places) query.set("places", "1");
    const answer = await fetch(`${board.dataset.rows}?${query}`, {
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    // Logged out, or without a role by now: the page itself says so.
    if (answer.type === "opaqueredirect" || answer.status === 403) location.reload();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  // What a change is, in words: a heartbeat is none.
  function looksOf(row) {
    const copy = row.cloneNode(true);
    copy.querySelector(".beat").remove();
    copy.querySelector(".ago").textContent = "";
    for (const time of copy.querySelectorAll("time")) {
      time.textContent = time.dateTime;
      time.removeAttribute("title");
    }
    return copy.innerHTML;
  }

  // items: those that were asked for; null for the whole page.
  function show(answer, items) {
    const found = answer.getElementById("rows");
    const fresh = [...found.rows];
    const ids = new Set(fresh.map((row) => row.id));
    const lowest = fresh.length ? tokenOf(fresh.at(-1)) : 0;
    const goesOn = items === null && found.dataset.next !== "";
    for (const row of rowsNow()) {
      if (ids.has(row.id) || (items && !items.has(row.dataset.item))) continue;
      if (goesOn && tokenOf(row) < lowest) row.remove();
      else end(row);
    }
    for (const row of fresh) put(row);
    if (items === null) {
      count.textContent = found.dataset.count;
      next.hidden = !goesOn;
      if (goesOn) next.href = board.dataset.home + found.dataset.next;
    }
    cutOff();
    nobody.hidden = rowsNow().length > 0;
    if (places) showPlaces(answer.getElementById("places"));
  }

  function showPlaces(now) {
    showLocalTimes(now);
    if (now.innerHTML.trim() === places.innerHTML.trim()) return;
    if (places.contains(document.activeElement)) board.parentElement.focus();
    places.replaceChildren(...now.childNodes);
  }

  function put(row) {
    const old = document.getElementById(row.id);
    showLocalTimes(row);
    showDurations(row);
    if (old && looksOf(old) === looksOf(row)) {
      const beat = old.querySelector(".beat");
      const now = row.querySelector(".beat");
      if (beat.innerHTML !== now.innerHTML) beat.replaceWith(now);
      return;
    }
    const place = document.activeElement?.closest("tr") === old && document.activeElement?.dataset.what;
    if (old) old.replaceWith(row);
    else body.insertBefore(row, [...body.rows].find((one) => tokenOf(one) < tokenOf(row)) ?? null);
    if (place) row.querySelector(`[data-what="${place}"]`)?.focus();
    row.classList.add("changed");
    setTimeout(() => row.classList.remove("changed"), SEEN_MS);
  }

  function end(row) {
    if (row.contains(document.activeElement)) board.parentElement.focus();
    row.removeAttribute("id");
    row.classList.add("gone");
    const state = row.querySelector(".status");
    state.textContent = "ended";
    setTimeout(() => row.remove(), SEEN_MS);
  }

  // A page that has grown ends where it says that the next one begins.
  function cutOff() {
    const rows = [...rowsNow()];
    if (rows.length <= MAX_ROWS) return;
    for (const row of rows.slice(MAX_ROWS)) row.remove();
    const query = new URLSearchParams(chosen);
    query.set("before", rows[MAX_ROWS - 1].dataset.token);
    next.href = `${board.dataset.home}?${query}`;
    next.hidden = false;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(opening);
      clearTimeout(polling);
      closeStream();
    } else {
      openStream();
    }
    showState();
  });
  addEventListener("pagehide", closeStream);
  addEventListener("pageshow", (event) => event.persisted && openStream());

  showState();
  openStream();
})();
