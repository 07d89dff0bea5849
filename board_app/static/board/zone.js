// Tells the server the reader's time zone, in which it draws days and hours. A page that names the zone in which it was
// drawn is read once again where that was another one: so only if it is the first page of all.
"use strict";

{
  const drawn = document.currentScript.dataset.zone;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const name = "board_zone";
  const value = `${name}=${encodeURIComponent(zone)}`;
  const known = document.cookie.split("; ").includes(value);
  if (zone && !known) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    // Where cookies are off, once is enough; a zone that the server does not know is UTC there.
    if (drawn && zone !== drawn && document.cookie.split("; ").includes(value)) location.reload();
  }
}
