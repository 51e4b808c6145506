"""A whole server from its start to its end, as its operators and clients see it.

Most tests here start `mirror serve` as a process, because what is claimed is about processes: exit
codes, signals, kill -9, full disks. The others run one in the test's own process (`tests.world`).

Three variables of the environment make them run longer than a commit has time for:

    LIFE_KILLS=1000    as many lives that end by kill -9 (default 24, and at most 12 s of them)
    LIFE_SWEEP=all     kill at every system call that changes the disk (default: a sample)
    LIFE_TROUBLE=all   every cell of the matrix of troubles (default: a sixth of them)
"""
