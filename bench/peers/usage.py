"""Prints what a measured Python process used, as the last line of stdout."""
import json
import os
import resource
import time


def report(**extra):
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = float(os.environ["BENCH_BEGAN"]) / 1000
    print(
        json.dumps(
            {"wall": time.time() - began, "cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss * 1024, **extra}
        )
    )
