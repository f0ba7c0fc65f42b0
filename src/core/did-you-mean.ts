// The nearest known word to a mistyped one. Bounded: long words and long lists are not compared.

const MAX_WORD = 64
const MAX_CANDIDATES = 2000

/** Edit distance with neighbouring letters swapped counted once (optimal string alignment). */
const distance = (a: string, b: string): number => {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(previous[j - 1]! + (same ? 0 : 1), previous[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforePrevious[j - 2]! + 1)
      }
      row.push(best)
    }
    beforePrevious = previous
    previous = row
  }
  return previous[b.length]!
}

/** The candidate that `word` was most likely meant to be (at most a third of its letters differ), or null. */
export const didYouMean = (word: string, candidates: Iterable<string>): string | null => {
  if (word.length > MAX_WORD) return null
  const wanted = word.toLowerCase()
  let allowed = Math.max(1, Math.floor(word.length / 3))
  let best: string | null = null
  let compared = 0
  for (const candidate of candidates) {
    if (++compared > MAX_CANDIDATES) break
    if (candidate === word || candidate.length > MAX_WORD) continue
    if (Math.abs(candidate.length - word.length) > allowed) continue
    const edits = distance(wanted, candidate.toLowerCase())
    if (edits < allowed || (edits === allowed && best === null)) {
      best = candidate
      allowed = edits
    }
  }
  return best
}
