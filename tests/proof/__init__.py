"""The promise, proved: nothing acknowledged is lost, altered or passed unscanned.

===============  ==================================================================================
``enumerate``    every state in which a power cut may leave the disk, at each call of a life
``power``        real cuts of real file systems (ext4, XFS) under load; needs root
``kill``         SIGKILL to any process, at any time, under load
``faults``       each system call failing in each way
``tampering``    files that change under us
``injected``     the same calls failing from outside, in a loaded gateway
``outside``      full disks, engines and name servers that fail
``clock``        the clock leaps ten years
``mutants``      what the promise rests on, taken out line by line: a test must notice each
===============  ==================================================================================

Each is a command (``python tests/proof/NAME.py --help``) that exits 1 where the promise was broken;
`test_proof` runs short forms of them.  `mail`, `account`, `live` and `rounds` are what they share.
"""
