"""A mechanical change of one function that keeps its behaviour: a statement behind the opening brace of its body.

The place comes from the image's line table (the line of the function's name); the brace is found by reading on as a
compiler would: parameters, what may follow them, a constructor's initialisers, the body.
"""
import re

TOKEN = re.compile(r"""
    (?P<blank>\s+|//[^\n]*|/\*.*?\*/|\\\n)
  | (?P<directive>(?<=\n)[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
  | (?P<raw>R"(?P<fence>[^\s()\\]{0,16})\(.*?\)(?P=fence)")
  | (?P<text>"(?:[^"\\\n]|\\.)*")
  | (?P<character>'(?:[^'\\\n]|\\.)+')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d(?:[\w.]|'\w)*)
  | (?P<sign>::|->|\[\[|\]\]|.)
""", re.X | re.S)
OPEN, CLOSE = "([{", ")]}"
KINDS = ("count", "store", "own counter", "log line")


class NoBody(Exception):
    """There is no body to put a statement into."""


def tokens_from(text, position):
    """[(text, end)] of what the compiler sees from there on."""
    while position < len(text):
        match = TOKEN.match(text, position)
        position = match.end()
        if match.lastgroup not in ("blank", "directive"):
            yield match.group(), position


def skip_group(tokens):
    """Reads on behind the bracket that closes the one just read."""
    depth = 1
    for token, end in tokens:
        depth += (token in OPEN) + 2 * (token == "[[") - (token in CLOSE) - 2 * (token == "]]")
        if depth <= 0:
            return end
    raise NoBody("a bracket isn't closed")


def find_body(text, line, name):
    """The position behind the opening brace of the function `name` (its last part), whose name stands in that line."""
    lines = text.splitlines(True)
    position = sum(len(one) for one in lines[:line - 1])
    tokens = tokens_from(text, position)
    if not name.startswith("operator"):
        name = name.partition("<")[0] or name
    is_lambda = name.startswith("{lambda")
    previous = ""
    for token, end in tokens:  # to the parameters
        if token == ";" or (token in "{}" and not is_lambda):
            raise NoBody(f"'{token}' before the parameters")
        if is_lambda and token == "[" and previous not in ("]", ")", "operator") and not re.match(r"\w", previous or " "):
            skip_group(tokens)
            return body_of_lambda(tokens)
        if token == "(" and (previous == name or name.startswith("operator")):
            if name == "operator()" and not text[:end].rstrip("( \n").endswith("operator()"):
                skip_group(tokens)
                previous = ")"
                continue
            skip_group(tokens)
            return body_behind_parameters(tokens)
        if token == "~":
            previous = "~"
        else:
            previous = previous + token if previous == "~" else token
    raise NoBody("the name isn't there")


def body_of_lambda(tokens):
    for token, end in tokens:
        if token == "(":
            skip_group(tokens)
        elif token == "{":
            return end
        elif token in ";)":
            break
    raise NoBody("a lambda without a body")


def body_behind_parameters(tokens):
    for token, end in tokens:
        if token == "{":
            return end
        if token == ":":
            return body_behind_initialisers(tokens)
        if token in ("(", "[", "[["):
            skip_group(tokens)
        elif token in ";=,)":
            raise NoBody(f"'{token}' behind the parameters")
    raise NoBody("nothing behind the parameters")


def body_behind_initialisers(tokens):
    initialised = False  # the last thing read is a whole initialiser
    for token, end in tokens:
        if token == "{" and initialised:
            return end
        if token in "({":
            skip_group(tokens)
            initialised = True
        elif token == ",":
            initialised = False
    raise NoBody("initialisers without a body")


def statement(kind, number, is_constexpr):
    probe = f"graft_selfpatch_probe[{number}]"
    count = f"__atomic_fetch_add(&{probe}, 1, __ATOMIC_RELAXED)"
    if kind == "count":
        body = f"(void){count};"
    elif kind == "store":
        body = f"__atomic_store_n(&{probe}, 1ul, __ATOMIC_RELAXED);"
    elif kind == "own counter":
        body = (f"static unsigned long graft_own_counter; "
                f"__atomic_store_n(&{probe}, __atomic_add_fetch(&graft_own_counter, 1, __ATOMIC_RELAXED), __ATOMIC_RELAXED);")
    else:
        body = (f'if ({count} == 0) ::graft::kernel::log_quietly(::graft::kernel::LogLevel::info, "selfpatch {number}");')
    return f" if (!__builtin_is_constant_evaluated()) {{ {body} }}" if is_constexpr else f" {{ {body} }}"


def is_constexpr(text, position):
    head = text[max(0, position - 400):position]
    head = head[max(head.rfind(";"), head.rfind("}")) + 1:]
    return re.search(r"\bconst(?:expr|eval)\b", head) is not None


def kinds_for(path, text, position):
    """A log line only where any code may log; a static of its own only where the language has statics."""
    kinds = ["count", "store"]
    if not is_constexpr(text, position):
        kinds.append("own counter")
    if path.startswith("tests/guest/") and path.endswith(".cpp"):
        kinds.append("log line")
    return kinds


def mutated(path, text, position, kind, number):
    array = "unsigned long graft_selfpatch_probe[4096];\n"
    first = f"extern {array}" if path.endswith(".c") else f'extern "C" {array}'
    if kind == "log line":
        first += '#include "kernel/log.h"\n'
    return first + text[:position] + statement(kind, number, is_constexpr(text, position)) + text[position:]
