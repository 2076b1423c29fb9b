"""The table of cases: what AC hands out, what the tool sees and answers, what AC receives. One entry a case, in
cases_*.py by what they are about; case.py says what an entry is made of. tests/e2e/test_contract.py runs it."""
import cases_answer
import cases_large
import cases_redirect
import cases_request

CASES = cases_request.CASES + cases_large.EXPIRES + cases_redirect.CASES + cases_answer.CASES + cases_large.CASES
assert len({case.name for case in CASES}) == len(CASES), "two cases have one name"
