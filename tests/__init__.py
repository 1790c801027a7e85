"""All tests; imported before any of them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as cores run tests: more threads in each only wait for one another, and
    # llama.cpp's wait by spinning. Read when OpenMP and BLAS are loaded, in every process that a
    # test starts too.
    os.environ |= {"OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"}
    # Left by readline in the process that started this one; a terminal of a test has its own size.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
