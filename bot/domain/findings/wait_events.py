"""What each wait event means, in a line, and what to check.

From https://www.postgresql.org/docs/current/monitoring-stats.html (tables "Wait Event Types" and
those after it). PostgreSQL 17 changed the case of some names (`WALSync`, `WalSync`), so lookups
ignore case.
"""

from collections.abc import Mapping

TYPES: Mapping[str, str] = {
    "Activity": "an idle server process waits for something to do: nothing is wrong",
    "BufferPin": "it waits for exclusive use of a data buffer that others still read: look for an"
    " open cursor or a long scan on that table",
    "Client": "it waits for its client, over the network: look at the application",
    "Extension": "it waits for something that an extension does: see its documentation",
    "InjectionPoint": "it waits at a point that a test of PostgreSQL itself has set",
    "IO": "it waits for the disk: look at the storage's latency and at how much it reads",
    "IPC": "it waits for another server process to do its part",
    "Lock": "it waits for a lock that another session holds: see the blocking tree",
    "LWLock": "it waits for a short lock on shared memory: many sessions want the same structure",
    "Timeout": "it waits for a time to pass",
}
"""Every type of wait event."""

EVENTS: Mapping[str, str] = {
    # Client
    "ClientRead": "it waits for its client to send the next statement or more data: look at the"
    " application",
    "ClientWrite": "it waits for its client to take its result: the result is large, the client"
    " doesn't read, or the network is slow",
    "WalSenderWaitForWAL": "a replication connection waits for new WAL: nothing is wrong",
    "WalSenderWriteData": "a replication connection waits for its standby to take WAL: look at the"
    " network and the standby",
    # IPC
    "SyncRep": "its commit waits for a synchronous standby that isn't answering: look at the"
    " standby and at synchronous_standby_names",
    "SafeSnapshot": "a SERIALIZABLE READ ONLY DEFERRABLE transaction waits for others to end before"
    " it may begin",
    "BgWorkerShutdown": "it waits for a background worker to stop",
    "BufferIO": "it waits for another session that reads the same page from disk",
    "CheckpointDone": "it waits for a checkpoint to end: look at the storage",
    "CheckpointStart": "it waits for a checkpoint to start",
    "ExecuteGather": "it waits for its parallel workers to deliver rows",
    "HashBuildHashInner": "a parallel hash join waits for its other workers to build the table",
    "MessageQueueReceive": "it waits for rows from a parallel worker",
    "MessageQueueSend": "a parallel worker waits for its leader to take rows",
    "ParallelFinish": "it waits for its parallel workers to finish",
    "ProcArrayGroupUpdate": "it waits for its transaction to be marked as ended, with others: many"
    " transactions end at once",
    "ProcSignalBarrier": "it waits until all server processes have noticed a change, such as a"
    " DROP DATABASE: look for one that is stuck",
    "RecoveryConflictSnapshot": "replay on this standby waits for a query that needs rows which"
    " the primary removed: see max_standby_streaming_delay",
    "XactGroupUpdate": "it waits for its commit status to be written, with others",
    # IO
    "BufFileRead": "it reads its own temporary file: work_mem is too small for this query",
    "BufFileWrite": "it writes a temporary file: work_mem is too small for this query",
    "DataFileExtend": "it makes a table's or index's file longer: many rows are being added",
    "DataFileRead": "it reads pages from disk: the query reads much, or shared_buffers is small",
    "DataFileSync": "it waits until a data file is safe on disk: look at the storage",
    "DataFileWrite": "it writes a data page itself: the background writer lags behind",
    "SLRURead": "it reads the state of old transactions from disk: look for long transactions and"
    " many subtransactions",
    "WALSync": "it waits until WAL is safe on disk, as each commit does: look at the latency of the"
    " WAL's storage",
    "WALWrite": "it writes WAL: look at the throughput of the WAL's storage",
    # LWLock
    "BufferContent": "several sessions want the same page: look for a hot row or index page",
    "BufferMapping": "many sessions look for pages in shared_buffers at once",
    "LockManager": "many sessions take many locks: look for partitions without pruning",
    "MultiXactMemberBuffer": "many transactions lock the same rows (foreign keys, FOR SHARE)",
    "ProcArray": "many sessions take snapshots at once: look at the number of active connections",
    "SubtransBuffer": "many subtransactions (savepoints, exception blocks) in use",
    "WALInsert": "many sessions add to the WAL at once",
    # Lock
    "advisory": "it waits for an advisory lock, which the application has named",
    "extend": "it waits for another session to make the table's file longer",
    "object": "it waits for a lock on something that isn't a table, such as a database or a role",
    "page": "it waits for a page of an index",
    "relation": "it waits for a lock on a table or index, often behind DDL",
    "spectoken": "it waits for another session's INSERT … ON CONFLICT of the same key",
    "transactionid": "it waits for another transaction to end: both want the same row",
    "tuple": "it waits in a queue for a row that several sessions want",
    "virtualxid": "it waits for another transaction to end, as CREATE INDEX CONCURRENTLY does",
    # Timeout
    "PgSleep": "it runs pg_sleep",
    "SpinDelay": "it waits for a spinlock: the server's processors are overloaded",
    "VacuumDelay": "vacuum rests between pages, by vacuum_cost_delay: nothing is wrong",
    # BufferPin, Extension
    "BufferPin": TYPES["BufferPin"],
    "Extension": TYPES["Extension"],
}
"""The common events, by their names in PostgreSQL's documentation."""

_OLDER_NAMES = {
    "multixactmemberslru": "MultiXactMemberBuffer",
    "subtransslru": "SubtransBuffer",
}
"""Names up to PostgreSQL 16."""

_ALSO_LWLOCKS = frozenset({"syncrep", "walwrite"})
"""LWLocks that share their name with another type's event."""

_BY_FOLD = {name.casefold(): meaning for name, meaning in EVENTS.items()}


def meaning(event_type: str, event: str) -> str | None:
    """What a wait event means or, if it isn't known here, what its type means."""
    name = _OLDER_NAMES.get(event.casefold(), event)
    if event_type == "LWLock" and event.casefold() in _ALSO_LWLOCKS:
        return TYPES["LWLock"]
    return _BY_FOLD.get(name.casefold(), TYPES.get(event_type))
