"""Sweeps on a Ray cluster, from outside: submit, look, follow, stop, copy. All through the Ray Jobs API.

connection   the API at an address; every call has a deadline, and its errors are ours
package      what is shipped with a job: the sweep's file, and our code unless the cluster has it
entry        what such a job runs, on the cluster
probe        a job that says what the cluster has: versions, resources, storage, images, tracker
verdict      what that means for a sweep, a line each
submission   submit and the commands that go on with a sweep
sweeps       a sweep on the cluster by its name or job: its jobs, a copy of its record, its logs, its end
"""
