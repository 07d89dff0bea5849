"""The engineers of the shop: accounts, full names and machines."""

from dataclasses import dataclass

NAMES = (
    *("Anna Bergmann", "Ben Carter", "Carla Rossi", "David Keller", "Emma Wright"),
    *("Felix Brandt", "Grace Hughes", "Hanna Vogel", "Ivan Petrov", "Jürgen Weiß"),
    *("Katrin Lange", "Liam Murphy", "Marie Dubois", "Nils Jansen", "Olivia Stone"),
    *("Paul Schäfer", "Quentin Moreau", "Rosa Martínez", "Stefan König", "Thea Lund"),
    *("Uwe Hartmann", "Vera Novák", "Walter Groß", "Xenia Pappas", "Yusuf Demir"),
    *("Zoe Fischer", "Axel Krüger", "Britta Möller", "Chloe Evans", "Dirk Böhm"),
)
ASCII = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "í": "i", "á": "a"}
)


@dataclass(frozen=True)
class Person:
    """An engineer.

    Args:
        number: from 0, in the order in which they come to work.
        user, name: the account and the full name.
        machine: the name of the workstation.
    """

    number: int
    user: str
    name: str
    machine: str


def person(number: int) -> Person:
    """Return an engineer; those beyond the list of names have a number behind theirs."""
    again, index = divmod(number, len(NAMES))
    name = NAMES[index] + (f" {again + 1}" if again else "")
    user = name.translate(ASCII).lower().replace(" ", ".")
    return Person(number, user, name, f"cad-{number + 1:02}")
