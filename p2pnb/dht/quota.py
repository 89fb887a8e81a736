"""How much a node keeps, and for whom: the measure against floods.

One `Quota` is shared by all the stores of a node. It counts every byte kept, the bookkeeping of a record included. A
node keeps 256 MB at most. While less than half of that is used, everybody may store; from then on one publisher, and
one network group (a /24, or a /48 of IPv6; a private address stands for itself, loopback is exempt), may add 8 MB an hour each. What is
over quota is refused: nothing that was accepted earlier ever makes room for it.

The hour slides. Remembering each addition would take memory without bound, so an account adds up neighbouring additions
in chunks of at most 1 % of its limit; only the oldest chunk can reach back beyond the hour, so an account is never above
its limit in any hour, and at most 1 % is given back late. Accounts unused for an hour are forgotten; when 65,536 are in
use, further newcomers share a single one; and what they occupy counts towards the 256 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from p2pnb import spec
from p2pnb.uid import siphashed

ACCOUNT_BYTES = 500  # of bookkeeping (measured)
HOUR = 3_600.0
MAX_ACCOUNTS = 65_536
_NEWCOMERS = object()


class _Account:
    """What one publisher or group added within the hour: chunks of [time of the last addition, bytes], oldest first."""

    __slots__ = ("chunks", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self.chunks: list[list[float]] = []


class Ledger:
    """Bytes added in the last hour, an account each, at most `limit` an account."""

    def __init__(self, limit: int, max_accounts: int = MAX_ACCOUNTS) -> None:
        self.limit = limit
        self._max_accounts = max_accounts
        self._accounts: OrderedDict[Hashable, _Account] = OrderedDict()  # least recently charged first

    def __len__(self) -> int:
        return len(self._accounts)

    def spent(self, who: Hashable, now: float) -> int:
        """Bytes that `who` added in the hour before `now` (up to 1 % of the limit more)."""
        account = self._accounts.get(self._name(who, now))
        if account is None:
            return 0
        while account.chunks and account.chunks[0][0] + HOUR <= now:
            account.spent -= int(account.chunks.pop(0)[1])
        return account.spent

    def charge(self, who: Hashable, size: int, now: float) -> None:
        """Notes that `who` added `size` bytes; the caller has asked `spent` before."""
        who = self._name(who, now)
        account = self._accounts.get(who)
        if account is None:
            account = self._accounts[who] = _Account()
        else:
            self._accounts.move_to_end(who)
        account.spent += size
        chunks = account.chunks
        if chunks and chunks[-1][1] + size <= self.limit // 100:
            chunks[-1][0] = now
            chunks[-1][1] += size
        else:
            chunks.append([now, size])

    def chunks(self, who: Hashable) -> list[tuple[float, int]]:
        """What `who` added, oldest first: when, and how many bytes. Charging them again, in this order, gives the same account."""
        account = self._accounts.get(who)
        return [] if account is None else [(when, int(size)) for when, size in account.chunks]

    def _name(self, who: Hashable, now: float) -> Hashable:
        accounts = self._accounts
        while accounts and next(iter(accounts.values())).chunks[-1][0] + HOUR <= now:
            accounts.popitem(last=False)
        return who if who in accounts or len(accounts) < self._max_accounts else _NEWCOMERS


class Quota:
    """The bytes of all the stores of one node. `total`: bytes it may keep; `hourly`: bytes an account may add an hour."""

    def __init__(self, total: int = spec.STORE_BYTES, hourly: int = spec.PUBLISHER_BYTES_AN_HOUR) -> None:
        self.total = total
        self.used = 0
        self._publishers = Ledger(hourly)
        self.groups = Ledger(hourly)

    def take(self, size: int, now: float, publisher: int | None, group: str | None, *, leaving: int = 0) -> bool:
        """Whether `size` bytes more may be kept; when so, they are counted.

        `publisher` is the uid that sent them (None: all that is unauthenticated shares one account), `group` its network
        group (None: exempt). `leaving`: bytes that the caller will give back in exchange.
        """
        used = self.used + size - leaving + ACCOUNT_BYTES * (len(self._publishers) + len(self.groups))
        if used > self.total:
            return False
        if used * 2 > self.total:
            publishers, groups, account = self._publishers, self.groups, _account(publisher)
            if publishers.spent(account, now) + size > publishers.limit:
                return False
            if group is not None:
                if groups.spent(group, now) + size > groups.limit:
                    return False
                groups.charge(group, size, now)
            publishers.charge(account, size, now)
        self.used += size
        return True

    def spent(self, publisher: int | None, now: float) -> int:
        """Bytes that `publisher` was charged in the hour before `now`, of at most `hourly`; 0 while everybody may store."""
        return self._publishers.spent(_account(publisher), now)

    def restore(self, size: int, since: float, now: float, publisher: int | None) -> bool:
        """As `take`, for what was accepted `since`, before a restart, in ascending order of that.

        Only the total is held against it. What came within the hour counts as its publisher's, so that a restart gives
        nobody a new allowance; what network groups used is remembered apart (`groups`).
        """
        used = self.used + size + ACCOUNT_BYTES * (len(self._publishers) + len(self.groups))
        if used > self.total:
            return False
        if used * 2 > self.total and publisher is not None and since + HOUR > now:
            self._publishers.charge(_account(publisher), size, since)
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Counts `size` bytes no more: their record is gone. What its publisher added this hour stays counted."""
        self.used -= size


def _account(publisher: int | None) -> bytes | None:
    return None if publisher is None else siphashed(publisher)  # on some carriers anybody chooses his uid
