// completion, man: generated from the definitions of the command line, like --help.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/graft/command.h"

namespace graft::tool {
namespace {

using Options = std::vector<const CLI::Option*>;

std::vector<const CLI::App*> subcommands(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty(); });
}

// "-c" and "--connect" of an option; nothing for a positional.
std::vector<std::string> dashed_names(const CLI::Option& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_snames()) names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    return names;
}

std::string all_option_names(const CLI::App& app) {
    std::string words;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : dashed_names(*option)) words += name + " ";
    }
    return words;
}

// The words of a type such as "{kvm,tcg,auto}"; empty for any other.
std::string choices(const CLI::Option& option) {
    std::string type = option.get_type_name();
    if (!type.starts_with('{') || !type.ends_with('}')) return {};
    std::string words = type.substr(1, type.size() - 2);
    for (char& character : words) {
        if (character == ',') character = ' ';
    }
    return words;
}

std::string completion_of_values(const CLI::App& app) {
    std::string cases;
    for (const CLI::Option* option : app.get_options()) {
        std::vector<std::string> names = dashed_names(*option);
        if (names.empty() || option->get_type_size() == 0) continue;
        std::string words = choices(*option);
        std::string reply = words.empty() ? "COMPREPLY=($(compgen -f -- \"$word\"))"
                                          : fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", words);
        cases += fmt::format("        {}) {}; return ;;\n", fmt::join(names, "|"), reply);
    }
    return cases;
}

std::string completion_of_command(const CLI::App& command, const std::string& global_names) {
    std::string words = all_option_names(command) + global_names;
    std::string values = completion_of_values(command);
    std::string positional = "COMPREPLY=($(compgen -f -- \"$word\"))";
    for (const CLI::Option* option : command.get_options()) {
        if (!option->get_positional()) continue;
        if (option->get_name(true) == "PATCH")
            positional = "COMPREPLY=($(compgen -W \"$(_graft_patches)\" -- \"$word\"))";
        if (!choices(*option).empty())
            positional = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", choices(*option));
    }
    std::string text = fmt::format("    {})\n", command.get_name());
    if (!values.empty()) text += fmt::format("        case \"$before\" in\n{}        esac\n", values);
    text += fmt::format(
        "        case \"$word\" in\n        -*) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n"
        "        *) {} ;;\n        esac ;;\n",
        words, positional);
    return text;
}

std::string bash_completion(const CLI::App& app) {
    std::string names;
    std::string cases;
    for (const CLI::App* command : subcommands(app)) {
        names += command->get_name() + " ";
        cases += completion_of_command(*command, all_option_names(app));
    }
    return fmt::format(R"(# Completion of the command graft for bash.
_graft_patches() {{ graft --quiet --timeout 2 ls /livepatch 2>/dev/null; }}
_graft() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= index
    for ((index = 1; index < COMP_CWORD; ++index)); do
        case "${{COMP_WORDS[index]}}" in
        -c|--connect|--timeout) ((++index)) ;;
        -*) ;;
        *) command=${{COMP_WORDS[index]}}; break ;;
        esac
    done
    case "$before" in
{}    esac
    case "$command" in
    '') COMPREPLY=($(compgen -W '{} {}' -- "$word")) ;;
{}    esac
}}
complete -o filenames -F _graft graft
)",
                       completion_of_values(app), names, all_option_names(app), cases);
}

// troff takes a leading dot or quote as a request, and a bare '-' as a hyphen.
std::string troff(std::string_view text) {
    std::string result;
    for (char character : text) {
        if (character == '-' || character == '\\') result += '\\';
        result += character == '\\' ? 'e' : character;
    }
    return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::string man_options(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        std::vector<std::string> names = dashed_names(*option);
        std::string type = option->get_type_size() == 0 || names.empty() ? "" : option->get_type_name();
        std::string heading = names.empty() ? option->get_name(true) : fmt::format("{}", fmt::join(names, ", "));
        text += fmt::format(".TP\n\\fB{}\\fR{}{}\n{}\n", troff(heading), type.empty() ? "" : " ", troff(type),
                            troff(option->get_description()));
    }
    return text;
}

std::string man_page(const CLI::App& app) {
    std::string text = fmt::format(
        ".TH GRAFT 1\n.SH NAME\ngraft \\- patch a running image\n.SH SYNOPSIS\n.B graft\n[OPTIONS] COMMAND ...\n"
        ".SH DESCRIPTION\n{}\n.SH OPTIONS\n{}.SH COMMANDS\n",
        troff(app.get_description()), man_options(app));
    for (const CLI::App* command : subcommands(app)) {
        std::string synopsis = "graft " + command->get_name();
        for (const CLI::Option* option : command->get_options()) {
            if (option->get_positional())
                synopsis += option->get_required() ? " " + option->get_name(true) : " [" + option->get_name(true) + "]";
        }
        text +=
            fmt::format(".SS {}\n{}.\n{}", troff(synopsis), troff(command->get_description()), man_options(*command));
    }
    text += fmt::format(
        ".SH ENVIRONMENT\n.TP\n\\fBGRAFT_CONNECT\\fR\nDefault of \\-\\-connect.\n"
        ".TP\n\\fBGRAFT_ACCEL\\fR\nOverrides \\-\\-accel of run.\n.SH EXIT STATUS\n{}\n",
        troff(app.get_footer()));
    return text;
}

}  // namespace

void define_documentation(CLI::App& app, CommandLine& line) {
    CLI::App* completion = app.add_subcommand("completion", "Print the completion script for a shell");
    auto shell = std::make_shared<std::string>();
    completion->add_option("SHELL", *shell, "The shell")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh"}).description(""))
        ->type_name("{bash,zsh}");
    completion->callback([&app, &line, shell] {
        line.action = [&app, shell](const Globals&) -> Outcome<void> {
            if (*shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
            fmt::print("{}", bash_completion(app));
            return {};
        };
    });

    CLI::App* man = app.add_subcommand("man", "Print the manual page, for man -l -");
    man->callback([&app, &line] {
        line.action = [&app](const Globals&) -> Outcome<void> {
            fmt::print("{}", man_page(app));
            return {};
        };
    });
}

}  // namespace graft::tool
