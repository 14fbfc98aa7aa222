"""Answers of several members: lists, sets, tuples, assignments to several letters, plus-or-minus signs."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from glow.verifier.equality.equations import Assigned, Contradiction, resolved
from glow.verifier.equality.quantities import branches, has_signs
from glow.verifier.equality.result import UNKNOWN, Compare, Same, all_same
from glow.verifier.grammar.tree import Group, Quantity, Several, Statement


class Collection(NamedTuple):
    """Members, their letters where they are assigned, their kind, and whether "or" stands between them.

    The kind is list (no brackets), set, or the opening and closing bracket.
    """

    members: list[Statement]
    names: list[str | None]
    kind: str
    are_alternatives: bool = False


def collection(statement: Statement, together: bool) -> Collection | None:
    """A statement as members; None where it contradicts itself."""
    kind, given = _given(statement)
    members: list[Statement] = []
    names: list[str | None] = []
    for one in given:
        name, body = None, one
        stated = resolved(one)
        if isinstance(stated, Contradiction):
            return None
        if isinstance(stated, Assigned):
            named = f"label {len(names)}" if stated.label is not None else None
            name, body = stated.name or named, stated.body
        if isinstance(body, Group) and body.opening == "{" and len(given) == 1:
            return collection(body, together)  # x is one of a set
        inner = _spread(body, together) if kind in ("list", "set") else [body]
        members += inner
        names += [name] * len(inner)
    return Collection(members, names, kind, isinstance(statement, Several) and statement.between == "or")


def _given(statement: Statement) -> tuple[str, list[Statement]]:
    """The kind of a statement, and its members as they stand."""
    if not isinstance(statement, Group):
        return "list", list(statement.members) if isinstance(statement, Several) else [statement]
    if statement.opening != "{":
        if any(has_signs(one) for one in statement.members):
            return "list", [statement]
        return statement.opening + statement.closing, list(statement.members)
    members = list(statement.members)
    if len(members) == 1 and isinstance(members[0], Several):
        members = list(members[0].members)
    return "set", members


def _spread(body: Statement, together: bool) -> list[Statement]:
    r"""The members for which one may stand: `\pm 3`, `(0, \pm 3)`, a list within a list."""
    if isinstance(body, Quantity) and has_signs(body):
        return branches(body, together)
    if isinstance(body, Several):
        return list(body.members)
    if isinstance(body, Group) and body.opening != "{" and any(has_signs(one) for one in body.members):
        choices = [_spread(one, together) for one in body.members]
        return [Group(body.opening, combination, body.closing) for combination in product(*choices)]
    return [body]


def _only(statement: Statement) -> Statement:
    r"""`(1,2)` for `\{(1,2)\}`, the one solution of a system."""
    if isinstance(statement, Group) and statement.opening == "{" and len(statement.members) == 1:
        member = statement.members[0]
        return member if isinstance(member, Group) and member.opening != "{" else statement
    return statement


def same_members(stated: Statement, gold: Statement, order: bool | None, same: Compare) -> Same:
    """Compare the members of two statements, one by one.

    Args:
        order: whether their order counts; None: as it is usual for their brackets.
        same: compares two members.
    """
    stated, gold = _only(stated), _only(gold)
    result = Same(False, "different members")
    for together in (True, False):
        ours, theirs = collection(stated, together), collection(gold, together)
        if ours is None or theirs is None:
            return Same(False, "contradicts itself")
        found = _Comparison(same).of(ours, theirs, order)
        if found.equal:
            return found
        if found.equal is None:
            result = found
    return result


_MOST_PAIRS = 2000
"""Pairs of members, one of each side, that are compared."""


_TOO_MANY = Same(False, "several letters for one value")


class _Comparison:
    """Comparisons of collections, by the comparison of two members."""

    def __init__(self, same: Compare) -> None:
        self._same = same

    def of(self, ours: Collection, theirs: Collection, order: bool | None) -> Same:
        if _are_letters(ours) or _are_letters(theirs):
            return self._by_letters(ours, theirs)
        if ours.are_alternatives and len({name for name in ours.names if name is not None}) > 1:
            return Same(False, "values of different letters, of which one is meant")
        if len(ours.members) == 1 or len(theirs.members) == 1:
            return self._with_one(ours, theirs)
        return self._of_kinds(ours, theirs, order)

    def _by_letters(self, ours: Collection, theirs: Collection) -> Same:
        """Values of different letters, on one side at least; the other may be a tuple in their order."""
        own, right = _are_letters(ours), _are_letters(theirs)
        if own and right:
            return self._by_letter(ours, theirs)
        if own:
            is_tuple = len(theirs.members) > 1
            return self._ordered(_in_order_of_letters(ours), theirs.members) if is_tuple else _TOO_MANY
        if len(ours.members) == 1 or ours.kind == "set":
            return Same(False, "one of several values")
        found = self._ordered(ours.members, theirs.members)
        return found if found.equal else self._ordered(ours.members, _in_order_of_letters(theirs))

    def _of_kinds(self, ours: Collection, theirs: Collection, order: bool | None) -> Same:
        kinds = {ours.kind, theirs.kind}
        if order is not None:
            return self._ordered(ours.members, theirs.members) if order else self._unordered(ours, theirs)
        if kinds <= {"list", "set"}:
            return self._unordered(ours, theirs)
        if "set" in kinds:
            return Same(False, "a set for a tuple or interval")
        if len(kinds) > 1 and len(theirs.members) == 2 and kinds != {"list", "()"}:
            return Same(False, "different brackets")
        if theirs.kind == "list":
            return self._unordered(ours, theirs)
        return self._ordered(ours.members, theirs.members)

    def _with_one(self, ours: Collection, theirs: Collection) -> Same:
        """A value and a collection: `{5}` is 5, and so is `1/2 or 0.5`, but not `5 or 5`."""
        if len(theirs.members) != 1 and not (theirs.kind == "set" and len(ours.members) == 1):
            return Same(False, "one of several members")
        if len(ours.members) != 1 and ours.kind != "list":
            return Same(False, "several members for one")
        found = [self._same(own, right) for own in ours.members for right in theirs.members]
        if len(found) == 1:
            return found[0]
        if len(set(ours.members)) == 1:
            return Same(False, "a value stated twice")
        equal = all_same(found)
        return equal if equal.equal else equal._replace(reason="several values for one")

    def _by_letter(self, ours: Collection, theirs: Collection) -> Same:
        own, right = (dict(zip(one.names, one.members, strict=True)) for one in (ours, theirs))
        if own.keys() != right.keys():
            return Same(False, "values of different letters")
        return all_same(self._same(own[name], right[name]) for name in right)

    def _ordered(self, ours: Sequence[Statement], theirs: Sequence[Statement]) -> Same:
        if len(ours) != len(theirs):
            return Same(False, "different lengths")
        pairs = zip(ours, theirs, strict=True)
        return all_same((self._same(own, right) for own, right in pairs), "same members, in order")

    def _unordered(self, ours: Collection, theirs: Collection) -> Same:
        """Each member has its like on the other side; in a set, a member counts once."""
        if "set" in (ours.kind, theirs.kind):
            return self._as_sets(ours.members, theirs.members)
        own, right = _without_common(ours.members, theirs.members)
        if len(own) * len(theirs.members) > _MOST_PAIRS:
            return UNKNOWN
        if (
            not right
            and own
            and all(any(self._same(one, other).equal for other in theirs.members) for one in own)
        ):
            return Same(True, "same members, some of them stated twice")
        if len(own) != len(right):
            return Same(False, "different numbers of members")
        unknown, leniency = False, None
        for one in own:
            found = [self._alike(one, other) for other in right]
            match = next((k for k, result in enumerate(found) if result.equal), None)
            if match is None:
                if all(result.equal is False for result in found):
                    return Same(False, "different members")
                unknown = True
                continue
            leniency = leniency or found[match].leniency
            right.pop(match)
        return UNKNOWN if unknown else Same(True, "same members", leniency)

    def _alike(self, one: Statement, other: Statement) -> Same:
        """Members of lists, whose words tell them apart: `3 boys, 2 girls`."""
        words = {member.words.lower() for member in (one, other) if isinstance(member, Quantity)} - {""}
        if len(words) > 1:
            return Same(False, "different words")
        return self._same(one, other)

    def _as_sets(self, ours: Sequence[Statement], theirs: Sequence[Statement]) -> Same:
        own = [one for one in ours if one not in theirs]
        right = [one for one in theirs if one not in ours]
        if len(own) * len(theirs) + len(right) * len(ours) > _MOST_PAIRS:
            return UNKNOWN
        unknown = False
        for members, others in ((own, theirs), (right, ours)):
            for one in members:
                found = [self._same(one, other).equal for other in others]
                if True not in found and None not in found:
                    return Same(False, "different members")
                unknown = unknown or True not in found
        return UNKNOWN if unknown else Same(True, "same members")


def _are_letters(collection: Collection) -> bool:
    """Whether the members are the values of different letters; `x_1, x_2` are two values of one unknown."""
    if collection.are_alternatives:
        return False
    names = [name for name in collection.names if name is not None]
    unknowns = {name.partition("_")[0] for name in names}
    return len(set(names)) == len(collection.members) > 1 and len(unknowns) > 1


def _in_order_of_letters(collection: Collection) -> list[Statement]:
    pairs = sorted(zip(map(str, collection.names), collection.members, strict=True), key=lambda pair: pair[0])
    return [member for _, member in pairs]


def _without_common(
    ours: Sequence[Statement], theirs: Sequence[Statement]
) -> tuple[list[Statement], list[Statement]]:
    """The members of each that are not, word for word, on the other side too."""
    left, own = list(theirs), []
    for one in ours:
        if one in left:
            left.remove(one)
        else:
            own.append(one)
    return own, left
