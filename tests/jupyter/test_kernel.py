"""Jupyter's own conformance suite, with samples in bpftrace."""

import jupyter_kernel_test

from client import KERNEL


class ProbebookTests(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL
    language_name = "bpftrace"
    file_extension = ".bt"

    code_hello_world = 'begin { printf("hello, world\\n"); }'
    code_stderr = 'begin { errorf("hi"); }'
    code_generate_error = "begin { printf("

    completion_samples = [
        {"text": "begin { print"},
        {"text": "tracepoint:sched:sched_pro"},
        {"text": "begin { strfti", "matches": {"strftime"}},
    ]

    complete_code_samples = [
        "begin { exit(); }",
        "interval:s:1 { @ = count(); }",
        "struct pair { int a; int b; };",
        "%maps",
    ]
    incomplete_code_samples = [
        "begin {",
        "begin { if (1) {",
        'begin { printf("%d\\n", (1 + ',
    ]
    invalid_code_samples = ["begin }", "begin { 1 + ; }"]

    code_display_data = [
        {"code": "begin { @ = hist(3); }", "mime": "text/plain"},
        {"code": "begin { @ = hist(3); }", "mime": "image/svg+xml"},
    ]
    code_inspect_sample = "printf"


class WelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = KERNEL
    support_iopub_welcome = True


# The base classes are not tests of this kernel.
del jupyter_kernel_test
