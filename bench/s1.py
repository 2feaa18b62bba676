"""S1: a gzipped scrape of 1,000 devices against the same server's empty view, on PostgreSQL."""

from statistics import median

from bench.harness import Goal, Outcome, postgres, project_on

GOAL = Goal(0.5, at_most=False)
COUNT = 1_000
REPEATS = 3


def run() -> Outcome:
    from bench._fleet import make_fleet, requests_per_s, scrape_token, store, web_server

    with postgres() as url, project_on(url):
        exporter = make_fleet(COUNT)
        store(exporter, COUNT)
        token = scrape_token(exporter)
        ours, empty = [], []
        with web_server() as base:
            for _ in range(REPEATS):
                ours.append(
                    requests_per_s(
                        f"{base}/exporters/{exporter.pk}/metrics",
                        Authorization=f"Bearer {token}",
                        Accept_Encoding="gzip",
                    )
                )
                empty.append(requests_per_s(f"{base}/healthz"))
    details = {"per_s": round(median(ours)), "empty_per_s": round(median(empty))}
    return Outcome(median(ours) / median(empty), details)
