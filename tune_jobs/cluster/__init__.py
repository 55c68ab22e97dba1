"""Sweeps on a Ray cluster, from outside: submit, show, follow, stop and copy them through the Ray Jobs API.

jobs         the API at an address; every call has a deadline and clear errors
gate         checks every reply and name from a cluster
archive      checks every file from a cluster
auth         authentication: a user in the address, or a token
follow       a job's log, over connections that break
package      the upload of a job: the sweep's file, and this package's code unless the cluster has it
job_result   the result of a small job, sent back through its log
transfer     a copy of a sweep's folder, or only its record
probe        what the cluster has: versions, resources, storage, images, tracker
catalog      a sweep by its name or job: its jobs, copies of its record, its end
submission   submit, and the commands that restart a sweep

Jobs run `tune_jobs.cli.cluster_job`; `tune_jobs.doctor.cluster` interprets the findings of a probe.
"""
