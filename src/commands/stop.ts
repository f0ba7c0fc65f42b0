// How a command ends before its end: with a sentence for whoever typed it and a code for their shell.

/** 0 is ok; 1 a usage or local fault; 2 refused, a remote fault or something outstanding; 3 waiting for a person. */
export type ExitCode = 0 | 1 | 2 | 3

export type Refusal = {
  readonly code: string
  readonly requestId: string | null
  /** The smallest manifest edit that would allow it. */
  readonly manifestPatch: string | null
}

/** Thrown by commands, caught once in cli.ts. The message must hold no secret; it is made safe when it is shown. */
export class Stop extends Error {
  override name = 'Stop'
  readonly exitCode: ExitCode
  /** What to do next, a line each. */
  readonly hints: readonly string[]
  /** The stable code of a refusal, where it is one. */
  readonly problem: Refusal | null

  constructor(exitCode: ExitCode, message: string, hints: readonly string[] = [], problem: Refusal | null = null) {
    super(message)
    this.exitCode = exitCode
    this.hints = hints
    this.problem = problem
  }
}
