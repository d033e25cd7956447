"""What each aggregation and string function costs per event, of those that both tools know."""

from . import cost

SECTION = "cost of a function above an empty program"
SCRIPTS = [
    (cost.EMPTY, "{ }"),
    ("count()", "{ @ = count(); }"),
    ("sum(nsecs)", "{ @ = sum(nsecs); }"),
    ("avg(nsecs)", "{ @ = avg(nsecs); }"),
    ("min(nsecs & 0xffff)", "{ @ = min(nsecs & 0xffff); }"),
    ("max(nsecs)", "{ @ = max(nsecs); }"),
    ("stats(nsecs)", "{ @ = stats(nsecs); }"),
    ("hist(nsecs)", "{ @ = hist(nsecs); }"),
    ("lhist(nsecs & 0xff, 0, 256, 16)", "{ @ = lhist(nsecs & 0xff, 0, 256, 16); }"),
    ("[pid] sum(nsecs)", "{ @[pid] = sum(nsecs); }"),
    ("[pid] avg(nsecs)", "{ @[pid] = avg(nsecs); }"),
    ("[pid] min(nsecs & 0xffff)", "{ @[pid] = min(nsecs & 0xffff); }"),
    ("[pid] max(nsecs)", "{ @[pid] = max(nsecs); }"),
    ("[pid] stats(nsecs)", "{ @[pid] = stats(nsecs); }"),
    ("[pid] hist(nsecs)", "{ @[pid] = hist(nsecs); }"),
    ("[pid] lhist(nsecs & 0xff, 0, 256, 16)", "{ @[pid] = lhist(nsecs & 0xff, 0, 256, 16); }"),
    ("[str(address, 16)] count()", "{ @[str(curtask, 16)] = count(); }"),
    ("[str(address, 64)] count()", "{ @[str(curtask, 64)] = count(); }"),
    ("[buf(address, 16)] count()", "{ @[buf(curtask, 16)] = count(); }"),
    ("strncmp with a literal", '{ if (strncmp(comm, "nosuch", 6) == 0) { @ = count(); } }'),
    (
        "strncmp of two strings",
        "{ if (strncmp(str(curtask, 16), comm, 8) == 0) { @ = count(); } }",
    ),
    ("strcontains", '{ if (strcontains(comm, "such")) { @ = count(); } }'),
    ("== of two strings", "{ if (comm == str(curtask, 16)) { @ = count(); } }"),
    ("join, 1 event in 64", "{ if (rand % 64 == 0) { join(0); } }"),
]
MEAN_AT_MOST = 0.5
EACH_AT_MOST = 1.0


def measure(bench, results):
    samples = cost.sample(bench, SCRIPTS, "cost of functions")
    lines = cost.compare(samples, results, SECTION, SCRIPTS, at_most=EACH_AT_MOST)
    cost.add_mean(lines, results, SECTION, at_most=MEAN_AT_MOST)
