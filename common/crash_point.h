/* Places around commits and acknowledgements at which a test kills the process that comes by. Programs of
 * tests/crash are compiled with SLUICE_CRASH_POINTS; in everything else a point is nothing. */
#ifndef SLUICE_COMMON_CRASH_POINT_H
#define SLUICE_COMMON_CRASH_POINT_H

#ifdef SLUICE_CRASH_POINTS

/* Ends the process by SIGKILL if the test asks for it here: tests/crash/crash_point.c. */
void crash_point(const char *name);

/* The same at `place` with a message of this type: PLACE.TYPE. */
void crash_point_msg(const char *place, unsigned type);

/* The same with a record of the journal: for a burial, and for what is done by hand. */
void crash_point_record(const char *place, unsigned type);

#define CRASH_POINT(name)               crash_point(name)
#define CRASH_POINT_MSG(place, type)    crash_point_msg(place, (unsigned)(type))
#define CRASH_POINT_RECORD(place, type) crash_point_record(place, (unsigned)(type))

#else

#define CRASH_POINT(name)               ((void)0)
#define CRASH_POINT_MSG(place, type)    ((void)0)
#define CRASH_POINT_RECORD(place, type) ((void)0)

#endif

#endif
