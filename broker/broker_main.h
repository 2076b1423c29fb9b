/* The broker as a program. */
#ifndef SLUICE_BROKER_BROKER_MAIN_H
#define SLUICE_BROKER_BROKER_MAIN_H

/* Returns the exit status. */
int broker_main(int argc, char **argv);

#endif
