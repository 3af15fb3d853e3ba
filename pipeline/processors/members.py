"""The members of sets, rankings and gains in a joiner: kept beside the join, found for what it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.details import Details, hash_lists
from pipeline.core.dictionary import NO_CODE
from pipeline.core.events import Group, Int64s, LabelKind, Labels, Members, Predictions, Ragged, Task
from pipeline.core.join import JoinLimits
from pipeline.core.kernels.hashing import murmur3_128
from pipeline.core.ragged import list_of_members, take_lists
from pipeline.processors.classes import ClassCodes
from pipeline.processors.labels import Contributions
from pipeline.processors.pairs import encode_pairs

WITH_MEMBERS = (Task.MULTILABEL, Task.RANKING)
"""The tasks whose predictions and labels are lists. Those of multiclass models may have one beside their class."""

_SET_SALT = np.int64(0x5851F42D4C957F2D)  # a set of labels and a ranking may look alike, but their codes differ


@dataclass(frozen=True, slots=True)
class Listed:
    """The lists of some of k rows.

    Attributes:
        at: int64[l], the rows, rising.
        lists: l lists in this partition's codes.
        known: bool[k], false where a model has as many classes as it may.
    """

    at: Int64s
    lists: Ragged
    known: NDArray[np.bool_]

    def among(self, chosen: NDArray[np.bool_]) -> "Listed":
        """The lists of fewer rows.

        Args:
            chosen: bool[k], which of the rows to go on with; at most those that are known.
        """
        if chosen.all():
            return self
        places = np.flatnonzero(chosen[self.at])
        at = (np.cumsum(chosen) - 1)[self.at[places]]
        return Listed(at, take_lists(self.lists, places), self.known[chosen])


class MemberStore:
    """What a partition knows of members.

    Args:
        details: an empty store.
        classes: the partition's class codes.
        limits: how long rows wait for each other.
        cutoffs: how many first items of a ranking are looked at, rising.
        class_scores: whether the scores of multiclass models are kept.
    """

    def __init__(
        self,
        details: Details,
        classes: ClassCodes,
        limits: JoinLimits,
        cutoffs: tuple[int, ...],
        *,
        class_scores: bool = True,
    ) -> None:
        self.details = details
        self._classes = classes
        self._limits = limits
        self._cutoffs = cutoffs
        self._class_scores = class_scores

    def of_predictions(self, rows: Predictions, kept: Int64s, value: Int64s) -> Listed:
        """The members of predictions.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take, rising.
            value: int64[k], their values; changed where they stand for members: to hashes of what is listed in this
                partition's codes. Where a class comes with scores, the hash is of both and negative: class codes are
                not.

        Returns:
            Their lists; of a class with scores, the class itself comes first.
        """
        at, lists = _of_kept(rows.members, kept)
        of_group = np.array([one.task for one in rows.groups], np.int64)
        if not self._class_scores:
            listed_at = np.flatnonzero(of_group[rows.group[kept[at]]] != Task.MULTICLASS)
            at, lists = at[listed_at], take_lists(lists, listed_at)
        group = rows.group[kept[at]].astype(np.int64)
        tasks = of_group[group]
        is_set, scored = tasks == Task.MULTILABEL, np.flatnonzero(tasks == Task.MULTICLASS)
        models, in_order = [one.model for one in rows.groups], tasks == Task.RANKING
        listed = self._encoded(
            at, lists, group, models, rows.classes, is_set=~in_order, in_order=in_order, rows=len(kept)
        )
        salts = _salts(models)[group] ^ np.where(is_set, _SET_SALT, 0)
        if not len(scored):
            value[at] ^= salts
            return listed
        lists = _led_by(_rounded(listed.lists, scored), scored, value[at[scored]])
        hashes = value[at] ^ salts
        hashes[scored] = hash_lists(take_lists(lists, scored))
        value[at] = hashes
        return replace(listed, lists=lists)

    def of_labels(self, rows: Labels, kept: Int64s, value: Int64s) -> Listed:
        """The members of labels; see ``of_predictions``.

        Args:
            rows: the decoded batch.
            kept: int64[k], the rows to take, rising.
            value: int64[k], their values; changed likewise.

        Returns:
            Their lists.
        """
        at, lists = _of_kept(rows.members, kept)
        model, is_set = rows.model[kept[at]].astype(np.int64), rows.kind[kept[at]] == LabelKind.SET
        value[at] ^= _salts(rows.models)[model] ^ np.where(is_set, _SET_SALT, 0)
        in_order = np.zeros(len(at), bool)
        return self._encoded(
            at, lists, model, rows.models, rows.classes, is_set=is_set, in_order=in_order, rows=len(kept)
        )

    def keep_predicted(self, listed: Listed, value: Int64s, timestamp_ms: Int64s) -> None:
        """Keep members for as long as their predictions may be in the join.

        Args:
            listed: the lists of k predictions.
            value: int64[k].
            timestamp_ms: int64[k].
        """
        expiry_ms = timestamp_ms[listed.at] + self._limits.horizon_ms
        self.details.insert(value[listed.at], expiry_ms, listed.lists)

    def keep_stated(self, listed: Listed, value: Int64s, effective_ms: Int64s) -> None:
        """Keep members for as long as their labels may be in the join.

        A prediction that a label joins is at most the early-label horizon after it, and stays for the label horizon.

        Args:
            listed: the lists of k labels.
            value: int64[k].
            effective_ms: int64[k].
        """
        expiry_ms = effective_ms[listed.at] + self._limits.early_ms + self._limits.horizon_ms
        self.details.insert(value[listed.at], expiry_ms, listed.lists)

    def add_to(self, part: Contributions, group: NDArray[np.integer], groups: Sequence[Group]) -> Contributions:
        """Give contributions the members that they are about.

        Args:
            part: n contributions.
            group: int[n], the groups of their predictions.
            groups: the groups by code.

        Returns:
            The contributions; those whose members are not known, of rows from before there were any, are not usable.
        """
        if not len(self.details):
            return part
        used, place = np.unique(group, return_inverse=True)
        tasks, predicted = (
            np.array([groups[code].task for code in used.tolist()], np.int64)[place],
            part.changes.predicted,
        )
        wanted, scored = np.isin(tasks, WITH_MEMBERS) & part.usable, (tasks == Task.MULTICLASS) & (predicted < 0)
        if not (wanted | scored).any():
            return part
        guessed, is_guess_known = self.details.read(predicted, wanted | scored)
        stated, is_label_known = self.details.read(part.changes.label, wanted)
        usable = part.usable & (~(wanted | scored) | is_guess_known) & (~wanted | is_label_known)
        if scored.any():
            predicted = predicted.copy()
            predicted[scored] = 0
            led = np.flatnonzero(scored & is_guess_known)
            predicted[led] = guessed.codes[guessed.starts[led]]
        changes = replace(part.changes, predicted=predicted, guessed=guessed, stated=stated, cutoffs=self._cutoffs)
        return replace(part, changes=changes, usable=usable)

    def _encoded(
        self,
        at: Int64s,
        lists: Ragged,
        owner: Int64s,
        models: Sequence[str],
        classes: Sequence[str],
        *,
        is_set: NDArray[np.bool_],
        in_order: NDArray[np.bool_],
        rows: int,
    ) -> Listed:
        """Lists in this partition's codes: sets of class codes, rising; gains by rising hash; rankings as they are."""
        known = np.ones(rows, bool)
        if not len(at):
            return Listed(at, lists, known)
        codes, member_of = lists.codes.copy(), list_of_members(lists)
        coded = np.flatnonzero(is_set[member_of])
        if len(coded):
            code_of = self._coder(models, classes)
            codes[coded] = encode_pairs(owner[member_of[coded]], codes[coded], len(classes), code_of)
            known[at[member_of[coded[codes[coded] == NO_CODE]]]] = False
        place = np.where(in_order[member_of], np.arange(len(codes)), codes)
        order = np.lexsort((place, member_of))
        return Listed(at, Ragged(lists.starts, codes[order], lists.weights[order]), known)

    def _coder(self, models: Sequence[str], classes: Sequence[str]) -> Callable[[int, int], int]:
        return lambda owner, name: self._classes.code(models[owner], classes[name])


def _of_kept(members: Members, kept: Int64s) -> tuple[Int64s, Ragged]:
    """The lists of the rows that are kept, and their places among these."""
    if not len(members.row) or not len(kept):
        return np.zeros(0, np.int64), take_lists(members.lists, np.zeros(0, np.int64))
    place = np.minimum(np.searchsorted(kept, members.row), len(kept) - 1)
    chosen = kept[place] == members.row
    if chosen.all():
        return place, members.lists
    return place[chosen], take_lists(members.lists, np.flatnonzero(chosen))


def _rounded(lists: Ragged, which: Int64s) -> Ragged:
    """Lists, the weights of some of them as 32-bit floats: scores, for which half of the memory does."""
    chosen = np.zeros(len(lists), bool)
    chosen[which] = True
    weights = np.where(chosen[list_of_members(lists)], lists.weights.astype(np.float32), lists.weights)
    return replace(lists, weights=weights)


def _led_by(lists: Ragged, which: Int64s, codes: Int64s) -> Ragged:
    """Lists, some of them with a code of weight 0 before their first member."""
    longer = np.zeros(len(lists) + 1, np.int64)
    longer[which + 1] = 1
    before = lists.starts[which]
    members = np.insert(lists.codes, before, codes), np.insert(lists.weights, before, 0.0)
    return Ragged(lists.starts + np.cumsum(longer), *members)


def _salts(models: Sequence[str]) -> Int64s:
    """Class codes are a model's own: what equal names stand for differs from model to model."""
    return np.array([murmur3_128(name.encode())[0] for name in models], np.uint64).view(np.int64)
