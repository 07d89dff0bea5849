// Tells the server the reader's time zone, in which it draws days and hours, and reads the page once again where it was
// drawn in another one.
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
    if (zone !== drawn && document.cookie.split("; ").includes(value)) location.reload();
  }
}
