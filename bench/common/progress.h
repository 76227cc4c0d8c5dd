/* progress.h -- one line of progress on stderr, on a terminal only. (bench) */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

/* A bar with text; done of total (total 0: no bar). Nothing when stderr is no terminal. */
void progress_show(double done, double total, const char *text);
/* Takes the line away, before other output. */
void progress_clear(void);

#endif
