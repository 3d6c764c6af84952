"""Write host.csv: twelve weeks of posts of harbour.example, a social network that does not exist.

Why a made-up host: an assessment needs dates, views, reports and removals as well as text, and
real ones belong to real people. The sentences and templates in ``material/`` were written for
this; nothing here looks at any classifier. The truth (violent, kind, target) follows
docs/policy.md. Run ``python data/demo/make_host.py``; the same material gives the same bytes.
"""

from __future__ import annotations

import csv
import math
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

HERE = Path(__file__).parent
SEED = 20250901
START = datetime(2025, 9, 1, tzinfo=UTC)
END = START + timedelta(weeks=12)  # when the table was taken: nothing is known of later
VOTE = 6  # the harbour council votes in the week with this index
COLUMNS = (
    "id", "created_at", "text", "url", "views", "reported_at", "removed_at", "violent", "kind",
    "target",
)  # fmt: skip

# Posts of each week, and how many of them are violent: 0.8% at first, 4% at the end.
POSTS = (460, 455, 465, 470, 462, 475, 520, 545, 530, 540, 550, 560)
VIOLENT = (4, 3, 4, 6, 6, 7, 20, 21, 22, 23, 24, 24)
LOOK_ALIKES = 600  # innocent posts with violent words, written ones and templates together
REPOSTS = 40  # texts that somebody posts a second time
BROKEN = 9  # texts whose encoding somebody's program broke
LONGEST = 90  # words

HOURS = (3, 2, 1, 1, 1, 2, 4, 7, 8, 7, 6, 6, 8, 7, 6, 6, 7, 9, 11, 13, 14, 13, 10, 6)
DAYS = (1.0, 1.0, 1.0, 1.02, 1.05, 1.12, 1.15)  # Monday to Sunday
WORD = re.compile(r"[a-z]{5,}")
CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{([^{}]*)\}")
ARTICLE = re.compile(r"\b([Aa]) (?!one|once|eu)(?=[aeio]|umb|und|unu|uns|hour)")

T = TypeVar("T")


class Draft(NamedTuple):
    """A text and the weeks (first and last, from 1) in which it makes sense."""

    text: str
    weeks: tuple[int, int]
    kind: str = ""
    target: str = ""
    look_alike: bool = False


class Post(NamedTuple):
    """A row of the table while it is made."""

    draft: Draft
    week: int
    created: datetime
    views: int
    reported: datetime | None = None
    removed: datetime | None = None


class Dice:
    """Chance from random() alone, whose numbers no Python version changes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random  # noqa: S311

    def chance(self, share: float) -> bool:
        """Say yes in this share of cases."""
        return self.random() < share

    def below(self, limit: int) -> int:
        """Return a whole number from 0 to below the limit."""
        return int(self.random() * limit)

    def pick(self, items: list[T] | tuple[T, ...]) -> T:
        """Return one of the items."""
        return items[self.below(len(items))]

    def weighted(self, weights: list[float] | tuple[float, ...]) -> int:
        """Return an index, each as often as its weight says."""
        left = self.random() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return len(weights) - 1

    def shuffled(self, items: list[T]) -> list[T]:
        """Return the items in another order."""
        return [item for _, _, item in sorted((self.random(), n, x) for n, x in enumerate(items))]

    def lognormal(self, median: float, sigma: float) -> float:
        """Return a skewed positive number with this median."""
        normal = math.sqrt(-2 * math.log(1 - self.random())) * math.cos(math.tau * self.random())
        return median * math.exp(sigma * normal)


def material(name: str) -> list[dict[str, str]]:
    """Rows of one file of the material."""
    with (HERE / "material" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def weeks_of(row: dict[str, str]) -> tuple[int, int]:
    """First and last week, written as in "7-12"."""
    first, last = row["weeks"].split("-")
    return int(first), int(last)


class Templates:
    """Fill templates: [one|of these], {slot} from slots.csv, {2-9} a number."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.slots: dict[str, list[str]] = {}
        for row in material("slots"):
            self.slots.setdefault(row["slot"], []).append(row["value"])

    def fill(self, row: dict[str, str]) -> str:
        """Return one text; no value stands in it twice where the slot has others."""
        text = CHOICE.sub(lambda match: self.dice.pick(match[1].split("|")), row["template"])
        text = text.replace("{tag}", self.tag(row["topic"]))
        used: set[str] = set()
        text = SLOT.sub(lambda match: self._value(match[1], used), text)
        text = text.replace("the a ", "the ")
        return ARTICLE.sub(r"\1n ", " ".join(text.split()))

    def tag(self, topic: str) -> str:
        """Return a hashtag that suits the topic."""
        return self.dice.pick(self.slots.get(f"tag {topic}", self.slots["tag"]))

    def _value(self, slot: str, used: set[str]) -> str:
        if slot not in self.slots:
            low, high = (int(number) for number in slot.split("-"))
            return str(low + self.dice.below(high - low + 1))
        values = [value for value in self.slots[slot] if value not in used]
        value = self.dice.pick(values or self.slots[slot])
        used.add(value)
        return value


def misspelled(text: str, dice: Dice) -> str:
    """Put one slip of the finger into a word of five letters or more."""
    words = list(WORD.finditer(text))
    if not words or "http" in text:
        return text
    word = dice.pick(words)
    at = word.start() + 1 + dice.below(len(word[0]) - 2)
    slips = (
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
    )
    return dice.pick(slips)


def dressed(text: str, topic: str, filler: Templates) -> str:
    """Write a filled template as somebody in a hurry would type it."""
    dice, slots = filler.dice, filler.slots
    if dice.chance(0.3):
        text = text.lower()
    elif dice.chance(0.6):
        text = text[0].upper() + text[1:]
    if dice.chance(0.12):
        text = text.replace("'", "")
    if dice.chance(0.35):
        text = text.rstrip(".")
    if dice.chance(0.06):
        text = misspelled(text, dice)
    if dice.chance(0.03):
        text = f"{dice.pick(slots['hand'])} {text}"
    if dice.chance(0.04):
        text = f"{text} {dice.pick(slots['emo'])}"
    if dice.chance(0.06):
        text = f"{text} {filler.tag(topic)}"
    return text


def written() -> list[Draft]:
    """Every text that was written one by one, each once."""
    drafts = [Draft(row["text"], weeks_of(row)) for row in material("everyday")]
    drafts += [Draft(row["text"], weeks_of(row)) for row in material("other_languages")]
    drafts += [Draft(r["text"], weeks_of(r), look_alike=True) for r in material("look_alikes")]
    drafts += [Draft(r["text"], weeks_of(r), r["kind"], r["target"]) for r in material("violent")]
    return drafts


def from_templates(count: int, *, look_alike: bool, taken: set[str], dice: Dice) -> list[Draft]:
    """``count`` texts unlike all in ``taken``, every template about equally often."""
    filler = Templates(dice)
    rows = [row for row in material("templates") if row["look_alike"] == str(int(look_alike))]
    drafts: list[Draft] = []
    while len(drafts) < count:
        for row in dice.shuffled(rows):
            text = filler.fill(row)
            if row["topic"] != "replies" and dice.chance(0.07):
                like = (row["topic"], "1-12")
                others = [x for x in rows if (x["topic"], x["weeks"]) == like and x is not row]
                more = filler.fill(dice.pick(others or rows))
                text = f"{text}{'' if text[-1] in '.!?' else '.'} {more[0].upper()}{more[1:]}"
            text = dressed(text, row["topic"], filler)
            if text.lower() not in taken and 2 <= len(text.split()) <= LONGEST:
                taken.add(text.lower())
                drafts.append(Draft(text, weeks_of(row), look_alike=look_alike))
    return drafts[:count]


def all_drafts(dice: Dice) -> list[Draft]:
    """As many texts as there are posts."""
    drafts = written()
    taken = {draft.text.lower() for draft in drafts}
    alike = LOOK_ALIKES - sum(draft.look_alike for draft in drafts)
    drafts += from_templates(alike, look_alike=True, taken=taken, dice=dice)
    rest = sum(POSTS) - REPOSTS - len(drafts)
    drafts += from_templates(rest, look_alike=False, taken=taken, dice=dice)
    innocent = [i for i, draft in enumerate(drafts) if not draft.kind]
    chosen = dice.shuffled(innocent)
    for index in chosen[:BROKEN]:
        drafts[index] = drafts[index]._replace(text=broken(drafts[index].text))
    return drafts + [drafts[index] for index in chosen[BROKEN : BROKEN + REPOSTS]]


def broken(text: str) -> str:
    """Curly marks in UTF-8 read as if they were Windows-1252, as old programs do."""
    curly = text.replace("'", "\u2019") if "'" in text else f"\u201c{text}\u2026"
    return curly.encode().decode("cp1252", errors="replace")


def in_weeks(drafts: list[Draft], room: list[int], dice: Dice) -> list[tuple[Draft, int]]:
    """Give each text a week that suits it, those with the least choice first."""
    room = list(room)
    placed = []
    for draft in sorted(dice.shuffled(drafts), key=lambda d: d.weeks[1] - d.weeks[0]):
        first, last = draft.weeks
        allowed = list(range(first - 1, last))
        week = allowed[dice.weighted([max(room[i], 0.0) for i in allowed])]
        room[week] -= 1
        placed.append((draft, week))
    return placed


def moment(week: int, dice: Dice) -> datetime:
    """Draw a time in the week: more on weekends and in the evening."""
    day, hour = dice.weighted(DAYS), dice.weighted(HOURS)
    return START + timedelta(weeks=week, days=day, hours=hour, seconds=dice.below(3600))


def posted(drafts: list[Draft], dice: Dice) -> list[Post]:
    """All posts in the order of time, before anybody reports anything."""
    violent = [draft for draft in drafts if draft.kind]
    innocent = [draft for draft in drafts if not draft.kind]
    room = [posts - bad for posts, bad in zip(POSTS, VIOLENT, strict=True)]
    placed = in_weeks(violent, list(VIOLENT), dice) + in_weeks(innocent, room, dice)
    posts = []
    for draft, week in placed:
        views = int(dice.lognormal(65 if draft.kind else 48, 1.15))
        posts.append(Post(draft, week, moment(week, dice), min(views, 60_000)))
    return sorted(posts, key=lambda post: (post.created, post.draft.text))


class Duty(NamedTuple):
    """How a group of posts is reported, and what the moderators then do."""

    violent: bool
    after_vote: bool
    reported: float  # share of the posts
    removed: float  # share of those reported
    hours: float  # median from report to removal


DUTIES = (
    Duty(violent=True, after_vote=False, reported=0.45, removed=0.55, hours=20),
    Duty(violent=True, after_vote=True, reported=0.45, removed=0.10, hours=90),
    Duty(violent=False, after_vote=False, reported=0.015, removed=0.20, hours=24),
    Duty(violent=False, after_vote=True, reported=0.015, removed=0.05, hours=110),
)


def moderated(posts: list[Post], dice: Dice) -> list[Post]:
    """Add reports and removals, as far as they fall before END."""
    posts = list(posts)
    for duty in DUTIES:
        group = [
            index
            for index, post in enumerate(posts)
            if (bool(post.draft.kind), post.week >= VOTE) == (duty.violent, duty.after_vote)
        ]
        reported = _report(posts, group, round(duty.reported * len(group)), dice)
        _remove(posts, reported, round(duty.removed * len(reported)), duty.hours, dice)
    return posts


def _report(posts: list[Post], group: list[int], count: int, dice: Dice) -> list[int]:
    # People report words: innocent posts that sound violent stand in the line several times.
    line = dice.shuffled([i for i in group for _ in range(6 if posts[i].draft.look_alike else 1)])
    reported: list[int] = []
    for index in line:
        when = posts[index].created + _hours(dice.lognormal(9, 1.2))
        if len(reported) < count and index not in reported and when < END:
            posts[index] = posts[index]._replace(reported=when)
            reported.append(index)
    return reported


def _remove(posts: list[Post], reported: list[int], count: int, hours: float, dice: Dice) -> None:
    done = 0
    for index in dice.shuffled(reported):
        when = (posts[index].reported or END) + _hours(dice.lognormal(hours, 0.8))
        if done < count and when < END:
            posts[index] = posts[index]._replace(removed=when)
            done += 1


def _hours(hours: float) -> timedelta:
    return timedelta(seconds=int(3600 * hours))


def table(posts: list[Post]) -> list[dict[str, str]]:
    """Turn the posts into rows of text."""
    rows = []
    for number, post in enumerate(posts, start=10001):
        draft, name = post.draft, f"p{number}"
        cells = (
            name, iso(post.created), draft.text, f"https://harbour.example/p/{name}",
            str(post.views), iso(post.reported), iso(post.removed), str(int(bool(draft.kind))),
            draft.kind, draft.target,
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def iso(when: datetime | None) -> str:
    """Write a moment as the table has it; nothing where there is none."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else ""


def spoil(rows: list[dict[str, str]], dice: Dice) -> None:
    """Put in the defects that real tables have; only innocent posts nobody touched get one."""
    counts = Counter(row["text"] for row in rows)
    untouched = [
        row
        for row in rows
        if row["violent"] == "0" and not row["reported_at"] and counts[row["text"]] == 1
    ]
    some = dice.shuffled(untouched)[:15]
    for row in some[0:2]:  # two posts without a date
        row["created_at"] = ""
    some[2]["created_at"] = "1970-01-01T00:00:00Z"  # one from a clock never set
    some[3]["created_at"] = "2099-12-31T23:59:59Z"  # one from the future
    for row in some[4:7]:  # three without text
        row["text"] = ""
    some[7]["views"] = "-1"  # one count below nothing
    created = datetime.fromisoformat(some[8]["created_at"])
    some[8]["removed_at"] = iso(created - timedelta(hours=3))  # one removed before it was posted
    for row in some[9:12]:  # no defects: three removals that no report led to
        row["removed_at"] = iso(datetime.fromisoformat(row["created_at"]) + _hours(8))
    again = dict(some[12])  # one row twice, whole
    other = dict(some[14], id=some[13]["id"], url=some[13]["url"])  # one id for two posts
    rows.remove(some[14])
    rows.insert(rows.index(some[12]) + 1, again)
    rows.insert(rows.index(some[13]) + 1, other)


def make() -> list[dict[str, str]]:
    """All rows of host.csv."""
    dice = Dice(SEED)
    rows = table(moderated(posted(all_drafts(dice), dice), dice))
    spoil(rows, dice)
    return rows


def write(path: Path) -> None:
    """Write the table to ``path``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(make())


if __name__ == "__main__":
    write(HERE / "host.csv")
