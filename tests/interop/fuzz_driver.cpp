// Runs the program's main again and again inside one process. Each line of stdin is a folder to generate from; the exit
// status comes back as a line of stdout.
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
    string folder;
    while (std::getline(std::cin, folder)) {
        string words[] = {"generate", folder, "--prompt", "ab", "--max-new-tokens", "6", "--threads", "1"};
        std::vector<char*> argv;
        for (string& word : words) argv.push_back(word.data());
        std::printf("%d\n", generate_main(static_cast<int>(argv.size()), argv.data()));
        std::fflush(stdout);
    }
    std::cout.rdbuf(before);
}
