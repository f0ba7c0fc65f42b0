import { expect, test } from 'vitest'
import { systemIds } from '../../../src/adapters/system/ids.ts'
import { WORDS } from '../../../src/adapters/system/words.ts'
import { movableClock } from '../../support/store-on-disk.ts'

test('ids are a prefix and a UUIDv7 of the clock (STORE rule 9)', () => {
  const clock = movableClock()
  const id = systemIds(clock).next('req')
  expect(id).toMatch(/^req_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  expect(Number.parseInt(id.slice(4, 16), 16)).toBe(clock.now())
})

test('ids sort in the order they were made, within a millisecond and over a clock that steps back (STORE rule 9)', () => {
  const clock = movableClock()
  const ids = systemIds(clock)
  const made = Array.from({ length: 20_000 }, (_, index) => {
    if (index % 5000 === 0) clock.advance(-10)
    if (index % 3000 === 0) clock.advance(0.001)
    return ids.next('grt')
  })
  expect(made).toEqual(made.toSorted())
  expect(new Set(made).size).toBe(made.length)
})

test('the tail of an id is fresh random bits each time (S20)', () => {
  const ids = systemIds(movableClock())
  const tails = Array.from({ length: 2000 }, () => ids.next('x').slice(-15))
  expect(new Set(tails).size).toBe(tails.length)
})

test('three of 256 distinct, short, plain words are for people to compare (S8)', () => {
  expect(WORDS).toHaveLength(256)
  expect(new Set(WORDS).size).toBe(256)
  expect(WORDS.filter((word) => !/^[a-z]{3,8}$/.test(word))).toEqual([])
  const ids = systemIds(movableClock())
  const said = Array.from({ length: 300 }, () => ids.words())
  for (const phrase of said) expect(phrase.split(' ').every((word) => WORDS.includes(word))).toBe(true)
  expect(said.every((phrase) => phrase.split(' ').length === 3)).toBe(true)
  expect(new Set(said).size).toBeGreaterThan(290)
})
