//! Entries of the specification that are declared but not there yet.
//!
//! Using one gives a diagnostic with its position; completion leaves them out.

use super::Entry;

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "assert",
        signatures: &["void assert(bool condition, string message)"],
        documentation: "Ends the script with an error if the condition does not hold.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "assert_str",
        signatures: &["void assert_str(string a, string b)"],
        documentation: "Ends the script with an error if two strings differ.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "bswap",
        signatures: &["uint8 bswap(uint8 n)", "uint16 bswap(uint16 n)", "uint32 bswap(uint32 n)", "uint64 bswap(uint64 n)"],
        documentation: "The bytes of an integer in reverse order.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "cgroup_path",
        signatures: &["cgroup_path_t cgroup_path(int cgroupid, string filter)"],
        documentation: "The path of a cgroup, looked up when it is printed.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "cgroupid",
        signatures: &["uint64 cgroupid(const string path)"],
        documentation: "The ID of the cgroup (v2) at a path.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "cpid",
        signatures: &["uint32 cpid"],
        documentation: "The process ID of the child started with `-c`.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "ppid",
        signatures: &["uint32 ppid(struct task_struct * task)"],
        documentation: "The process ID of the parent process.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "kptr",
        signatures: &["T * kptr(T * ptr)"],
        documentation: "Marks a pointer as one into kernel memory.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "uptr",
        signatures: &["T * uptr(T * ptr)"],
        documentation: "Marks a pointer as one into user memory.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "macaddr",
        signatures: &["macaddr_t macaddr(char [6] mac)"],
        documentation: "A MAC address, for printing.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "ntop",
        signatures: &["inet ntop([int64 af, ] int addr)", "inet ntop([int64 af, ] char addr[4])", "inet ntop([int64 af, ] char addr[16])"],
        documentation: "An IPv4 or IPv6 address, for printing.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "pton",
        signatures: &["char addr[4] pton(const string *addr_v4)", "char addr[16] pton(const string *addr_v6)"],
        documentation: "An IP address as bytes.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "override",
        signatures: &["void override(uint64 rc)"],
        documentation: "Makes the probed kernel function return at once with this value.",
        arguments: (0, None),
        is_unsafe: true,
        ..Entry::BASE
    },
    Entry {
        name: "path",
        signatures: &["char * path(struct path * path [, int32 size])"],
        documentation: "The full path of a `struct path`.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "percpu_kaddr",
        signatures: &["uint64 *percpu_kaddr(const string name)", "uint64 *percpu_kaddr(const string name, int cpu)"],
        documentation: "The address of a per-CPU kernel symbol.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "signal",
        signatures: &["void signal(const string sig)", "void signal(uint32 signum)"],
        documentation: "Sends a signal to the traced process.",
        arguments: (0, None),
        is_unsafe: true,
        ..Entry::BASE
    },
    Entry {
        name: "skboutput",
        signatures: &["uint32 skboutput(const string path, struct sk_buff *skb, uint64 length, const uint64 offset)"],
        documentation: "Writes a packet to a pcap file.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "socket_cookie",
        signatures: &["uint64 socket_cookie(struct sock *sk)"],
        documentation: "The cookie of a socket.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "strcontains",
        signatures: &["int64 strcontains(const char *haystack, const char *needle)"],
        documentation: "Whether one string contains another.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "strerror",
        signatures: &["strerror_t strerror(int error)"],
        documentation: "The text of an error number.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "uaddr",
        signatures: &["T * uaddr(const string sym)"],
        documentation: "The address of a symbol in the traced binary.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "unwatch",
        signatures: &["void unwatch(void * addr)"],
        documentation: "Removes a watchpoint.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "usermode",
        signatures: &["uint8 usermode"],
        documentation: "1 if the current process runs in user mode.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "username",
        signatures: &["string username"],
        documentation: "The name of the current user.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "getopt",
        signatures: &["bool getopt(string arg_name)", "string getopt(string arg_name, string default_value)", "int getopt(string arg_name, int default_value)", "bool getopt(string arg_name, bool default_value)"],
        documentation: "A named parameter of the script.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "strlen",
        signatures: &["uint64 strlen(string s)"],
        documentation: "The length of a string.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "syscall_name",
        signatures: &["string syscall_name(uint64 number)"],
        documentation: "The name of a system call.",
        arguments: (0, None),
        ..Entry::BASE
    },
    Entry {
        name: "signal_name",
        signatures: &["string signal_name(uint64 number)"],
        documentation: "The name of a signal.",
        arguments: (0, None),
        ..Entry::BASE
    },
];
