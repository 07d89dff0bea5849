"""The domain: items, workstations, edit sessions, their API, admin and sweeper.

The folders are described in CONTRIBUTING.md ("Where things are"). The modules beside them:

| about | modules |
|---|---|
| callers | `authentication` (user and role of a request), `credentials` (tokens), `logins` (login sessions), `roles`, |
| | `accounts` (spellings of user names), `wrong_credentials` and its `brake` (failed attempts are delayed) |
| streams | `stream_grants` (what a stream may follow), `snapshots` (its first event), `channels`, |
| | `presence_backend` (what `events_app` calls), `alive_requests` |
| time | `sweeper`, `quarantine` (candidates that fail), `steps` (too much for one transaction), `clock`, `checks` |
| part lists | `item_file` (writes items), `part_list` (reads rows), `text_encoding` |
| leaves | `errors`, `locks`, `paging`, `text` |
| Django | `apps`, `signals`, `migrating` (`migrate` and `flush`) |
"""
