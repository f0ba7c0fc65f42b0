// How the demo speaks: numbered steps, what was done, what came back. It decides nothing, and colours only a terminal.
import { styleText } from 'node:util'
import { safeText } from '../core/safe-text.ts'

type Colour = 'bold' | 'dim' | 'green' | 'red' | 'cyan'

export type Tell = {
  /** What somebody did. */
  did(text: string): void
  /** What came back. */
  came(text: string): void
  /** Lines as they are: a patch, a diff, a receipt. */
  shown(text: string): void
}

export type Narrator = Tell & {
  opening(title: string, lines: readonly string[]): void
  step(number: number, title: string): void
  /** The step did not do what it says. */
  failed(lines: readonly string[]): void
  closing(text: string, lines?: readonly string[]): void
}

type Out = { write(text: string): unknown; readonly isTTY?: boolean }

const NOT_A_TERMINAL: Readonly<Record<string, string | undefined>> = { NO_COLOR: '1' }

/** Colours where `out` is a terminal and the environment does not object (NO_COLOR, TERM=dumb). */
export function createNarrator(out: Out, env: Readonly<Record<string, string | undefined>> = NOT_A_TERMINAL): Narrator {
  const isPainted = out.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  const paint = (colour: Colour, text: string) =>
    isPainted ? styleText(colour, text, { validateStream: false }) : text
  const line = (text = '') => out.write(`${text}\n`)
  const block = (text: string) => text.split('\n').map((one) => `${/^ */.exec(one)?.[0] ?? ''}${safeText(one)}`)
  return {
    opening(title, lines) {
      line()
      line(paint('bold', title))
      for (const one of lines) line(paint('dim', one))
    },
    step(number, title) {
      line()
      line(`${paint('cyan', String(number).padStart(2))}  ${paint('bold', title)}`)
    },
    did: (text) => line(`    ${paint('dim', '→')} ${safeText(text)}`),
    came: (text) => line(`    ${paint('green', '←')} ${safeText(text)}`),
    shown(text) {
      for (const one of block(text)) line(`      ${paint('dim', '│')} ${one}`)
    },
    failed(lines) {
      for (const one of lines.flatMap(block)) line(`    ${paint('red', '✗')} ${one}`)
    },
    closing(text, lines = []) {
      line()
      line(paint('bold', text))
      for (const one of lines) line(one)
    },
  }
}
