# Adds up cargo's "test result:" lines, repeats what failed, and exits 1 unless everything passed and rc (cargo's own exit
# status) is 0.
/^test result:/ {
    suites++
    for (i = 1; i < NF; i++) {
        word = $(i + 1)
        if (word ~ /^passed/) passed += $i
        if (word ~ /^failed/) failed += $i
        if (word ~ /^ignored/) ignored += $i
    }
}
/^test .* \.\.\. FAILED$/ { names[++n] = $2 }
END {
    print ""
    for (i = 1; i <= n; i++) print "FAILED  " names[i]
    printf "%d passed, %d failed, %d ignored in %d suites\n", passed, failed, ignored, suites
    exit (failed > 0 || rc != 0 || suites == 0) ? 1 : 0
}
