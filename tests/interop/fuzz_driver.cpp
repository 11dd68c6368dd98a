// Runs the program's main again and again inside one process. Each line of stdin is a folder to generate from and, after
// a tab, the prompt; the exit status comes back as a line of stdout.
#define main generate_main
#include "generate.cpp"
#undef main

namespace {
struct Nowhere : std::streambuf {
    int overflow(int c) override { return c; }
    std::streamsize xsputn(const char*, std::streamsize n) override { return n; }
};
}  // namespace

int main() {
    Nowhere nowhere;
    std::streambuf* const before = std::cout.rdbuf(&nowhere);
    string line;
    while (std::getline(std::cin, line)) {
        const size_t tab = line.find('\t');
        string words[] = {"generate", line.substr(0, tab), "--prompt", line.substr(tab + 1), "--max-new-tokens", "6", "--threads", "1"};
        std::vector<char*> argv;
        for (string& word : words) argv.push_back(word.data());
        std::printf("%d\n", generate_main(static_cast<int>(argv.size()), argv.data()));
        std::fflush(stdout);
    }
    std::cout.rdbuf(before);
}
