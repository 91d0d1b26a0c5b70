"""Runs and datasets in object storage: `s3://bucket/path` and `gs://bucket/path`.

An object store has no append and no rename: an object is written whole, or not at all. A run
appends to `metrics.jsonl` and to TensorBoard's events, replaces files by renaming, and lets Orbax
rename a folder when a checkpoint is complete. So a run in a bucket is a local folder, like any
other run, of which the first process keeps a copy in the bucket (`mirror`):

- Programs write to a local folder and need to know nothing of buckets. The other way, paths of
  `etils.epath` everywhere, would need another writer of metrics, another of TensorBoard's events,
  and another way to replace a file; and Orbax 0.12 writes to Google's storage and to disks alone.
- What is in the bucket can always be resumed from: files are copied in the order in which they
  were written, logs first, and a checkpoint is marked as incomplete while it is copied.
- With several processes the first reads and writes checkpoints, and exchanges arrays with the
  others (`devices/first_process`): hosts need no common disk.

What is only read, such as a finished run to predict with, is fetched once (`copies`). Shards of a
dataset are fetched when they are read, and stay in a cache (`data/bucket_shards`).

Credentials are found by s3fs and gcsfs in their usual places: environment, profile, machine.
"""
