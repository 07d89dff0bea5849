"""The history of an item, a workstation or a user: an interval, its sessions, and the timeline drawn of them."""
