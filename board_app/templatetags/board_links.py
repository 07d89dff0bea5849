"""Filters of templates: the address of the page of an item, a workstation or a user."""

from django import template

from board_app import links

register = template.Library()
register.filter("item_page", links.item_page)
register.filter("workstation_page", links.workstation_page)
register.filter("user_page", links.user_page)
