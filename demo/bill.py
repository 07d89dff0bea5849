"""The bill of materials of a belt conveyor: assemblies, sub-assemblies, parts in variants, and documents."""

from collections.abc import Iterator
from dataclasses import dataclass

UNITS = (
    ("Antriebseinheit", "Drive unit"),
    ("Rahmen", "Frame"),
    ("Umlenkung", "Tail unit"),
    ("Gurtspannung", "Belt tensioner"),
    ("Schutzeinrichtung", "Guarding"),
    ("Steuerung", "Control cabinet"),
)
GROUPS = (
    ("Lagerung", "Bearing assembly"),
    ("Halterung", "Bracket assembly"),
    ("Gehäuse", "Housing"),
    ("Verstellung", "Adjustment"),
)
# Those with variants exist for the left and for the right side.
PARTS = (
    ("Grundplatte", "Base plate, S235JR, 12 mm", False),
    ("Welle", "Shaft, 42CrMo4+QT, Ø 30 h6", False),
    ("Lagerbock", "Pillow block, EN-GJL-250", True),
    ("Deckel", "Cover, AlMg3, 3 mm", False),
    ("Distanzbuchse", "Spacer, E355, 40 x 30 x 18", False),
    ("Wange", "Side plate, S355J2, 15 mm", True),
    ("Flachdichtung", "Gasket, NBR 70, 1.5 mm", False),
)
VARIANTS = (("-L", "links / left"), ("-R", "rechts / right"))

ASSEMBLY, PART, DOCUMENT = "assembly", "part", "document"


@dataclass(frozen=True)
class Part:
    """A row of the bill of materials.

    Args:
        number, description: its part number and description, German and English.
        kind: `assembly`, `part` or `document`.
        unit: the index of the unit that it belongs to; -1 for the whole machine.
    """

    number: str
    description: str
    kind: str
    unit: int


def bill_of_materials() -> list[Part]:
    """Return all parts, each assembly before its own."""
    return [
        Part("F20-0000", "Gurtförderer F20 / Belt conveyor F20", ASSEMBLY, -1),
        Part("F20-0000-MA", "Montageanleitung / Assembly instructions", DOCUMENT, -1),
        *(part for unit in range(len(UNITS)) for part in unit_parts(unit)),
    ]


def unit_parts(unit: int) -> Iterator[Part]:
    """Yield a unit and all that it is made of."""
    number = f"F20-{unit + 1}000"
    german, english = UNITS[unit]
    yield Part(number, f"{german} / {english}", ASSEMBLY, unit)
    yield Part(f"{number}-SP", f"Stückliste {german} / Parts list", DOCUMENT, unit)
    for index, (group, name) in enumerate(GROUPS, 1):
        below = f"F20-{unit + 1}{index}00"
        yield Part(below, f"{group} der {german} / {name}", ASSEMBLY, unit)
        yield Part(f"{below}-ZN", f"Zeichnung {group} / Drawing", DOCUMENT, unit)
        yield from group_parts(below, unit)


def group_parts(group: str, unit: int) -> Iterator[Part]:
    """Yield the parts of a sub-assembly, those with variants in each of them."""
    for index, (german, english, has_variants) in enumerate(PARTS, 1):
        number = f"{group[:-2]}{index:02}"
        if not has_variants:
            yield Part(number, f"{german} / {english}", PART, unit)
            continue
        for suffix, side in VARIANTS:
            yield Part(f"{number}{suffix}", f"{german} {side} / {english}", PART, unit)
