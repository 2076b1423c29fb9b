#include "broker/broker_main.h"

int main(int argc, char **argv) {
    return broker_main(argc, argv);
}
