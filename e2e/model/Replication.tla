---------------------------- MODULE Replication ----------------------------
(* The protocol of docs/high-availability.md, as shared/messaging/replication   *)
(* has it: instances of a service, each with a file, and the change log.        *)
(*                                                                              *)
(* - A record that was sent arrives in the log at any later time, in any order, *)
(*   or never: the requests of a leader that was paused, deposed or killed may  *)
(*   be late or lost.                                                           *)
(* - An instance may be slow without bound, crash, or lose its disk, whenever.  *)
(* - It may claim whenever it has read the log to its end. That the log was     *)
(*   silent is a reason to claim; the protocol does not depend on it.           *)
(*                                                                              *)
(* A group is what one commit changed; here it is only which process made it.   *)
(* Its number is its place in the file.                                         *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Instance,
    MaxEpoch, MaxGroup, MaxOffset, MaxEnds, \* Bounds of what TLC explores.
    Without                                 \* The rules that are left out: {} is the protocol.

VARIABLES
    sent, \* Records that may arrive in the log.
    log,  \* The change log: a sequence of records.
    role, \* Of each instance: "following", "leading" or "deposed".
    run,  \* The number of its process: a claim is one of a process.
    mem,  \* Its file and position as its process has them,
    disk, \* and as its next process finds them.
    told  \* Groups that were answered, or whose messages were sent: in which
          \* epoch, and how much of the log was read then.

vars == <<sent, log, role, run, mem, disk, told>>

Rule(name) == name \notin Without

(* `next` is the offset to read next. Groups after `confirmed` were stored by a *)
(* leader that has not read them in the log.                                    *)
Empty == [groups |-> <<>>, confirmed |-> 0, epoch |-> 0, next |-> 1]

Process(i) == <<i, run[i]>>

RecordsOf(file) ==
    {[kind |-> "group", epoch |-> file.epoch, seq |-> n, by |-> file.groups[n]] :
        n \in (file.confirmed + 1)..Len(file.groups)}

Init ==
    /\ sent = {}
    /\ log = <<>>
    /\ role = [i \in Instance |-> "following"]
    /\ run = [i \in Instance |-> 0]
    /\ mem = [i \in Instance |-> Empty]
    /\ disk = [i \in Instance |-> Empty]
    /\ told = {}

------------------------------------------------------------------------------
(* The broker stores a record. That it stores one twice changes nothing: a      *)
(* second claim of an epoch does not count, a number that was read is not next. *)
Arrive(record) ==
    /\ Len(log) < MaxOffset
    /\ \A offset \in 1..Len(log) : log[offset] # record
    /\ log' = Append(log, record)
    /\ UNCHANGED <<sent, role, run, mem, disk, told>>

Claim(i) ==
    LET claim == [kind |-> "claim", epoch |-> mem[i].epoch + 1, by |-> Process(i)] IN
    /\ role[i] = "following"
    /\ mem[i].next > Len(log)
    /\ claim.epoch <= MaxEpoch /\ Len(log) < MaxOffset
    /\ claim \notin sent
    /\ sent' = sent \cup {claim}
    /\ IF Rule("lead after the own claim was read")
       THEN UNCHANGED <<role, mem, disk>>
       ELSE /\ role' = [role EXCEPT ![i] = "leading"]
            /\ mem' = [mem EXCEPT ![i].epoch = claim.epoch]
            /\ disk' = [disk EXCEPT ![i] = mem'[i]]
    /\ UNCHANGED <<log, run, told>>

(* What a leader says of groups to the world: it confirms up to one in `mem'`.  *)
Tell(i, from, to) ==
    told' = told \cup
        {[seq |-> n, by |-> mem'[i].groups[n], epoch |-> mem[i].epoch, offset |-> mem[i].next] :
            n \in from..to}

(* The group and its changes are stored in one transaction, with the position.  *)
Commit(i) ==
    /\ role[i] = "leading" \/ (role[i] = "deposed" /\ ~Rule("a deposed leader stores nothing"))
    /\ Len(mem[i].groups) < MaxGroup
    /\ mem' = [mem EXCEPT ![i].groups = Append(@, Process(i))]
    /\ disk' = [disk EXCEPT ![i] = mem'[i]]
    /\ sent' = IF role[i] = "leading" THEN sent \cup RecordsOf(mem'[i]) ELSE sent
    /\ IF role[i] = "leading" /\ ~Rule("tell after the group was read")
       THEN Tell(i, Len(mem'[i].groups), Len(mem'[i].groups))
       ELSE UNCHANGED told
    /\ UNCHANGED <<log, role, run>>

Counts(claim, file) ==
    claim.epoch > file.epoch \/ (claim.epoch = file.epoch /\ ~Rule("of two claims, the first"))

(* Who reads its own claim leads, and sends what it had not read of its groups, *)
(* now with its new epoch. Whoever else has such groups sets its file aside.    *)
ReadClaim(i, claim, file) ==
    LET known == [file EXCEPT !.epoch = claim.epoch]
        isOwn == claim.by = Process(i) \/ (claim.by[1] = i /\ ~Rule("a claim is of one process"))
        isDiverged == file.confirmed < Len(file.groups) /\ Rule("set a diverged file aside")
    IN
    /\ CASE ~Counts(claim, file) ->
              mem' = [mem EXCEPT ![i] = file] /\ UNCHANGED <<role, sent>>
         [] Counts(claim, file) /\ role[i] = "leading" ->
              /\ mem' = [mem EXCEPT ![i] = known]
              /\ role' = [role EXCEPT ![i] = IF Rule("stop when deposed") THEN "deposed" ELSE "leading"]
              /\ UNCHANGED sent
         [] Counts(claim, file) /\ role[i] = "following" /\ isOwn ->
              /\ mem' = [mem EXCEPT ![i] = known]
              /\ role' = [role EXCEPT ![i] = "leading"]
              /\ sent' = sent \cup RecordsOf(known)
         [] Counts(claim, file) /\ role[i] = "following" /\ ~isOwn ->
              /\ mem' = [mem EXCEPT ![i] = IF isDiverged THEN Empty ELSE known]
              /\ UNCHANGED <<role, sent>>
    /\ UNCHANGED told

(* A group that is in the file is confirmed, another one is added.              *)
ReadGroup(i, group, file) ==
    LET isOfLeader == group.epoch = file.epoch \/ ~Rule("compare the epoch")
        isNext == group.seq = file.confirmed + 1 \/ (group.seq > file.confirmed /\ ~Rule("in the order of numbers"))
    IN
    /\ mem' = [mem EXCEPT ![i] =
          IF isOfLeader /\ isNext
          THEN [file EXCEPT !.confirmed = @ + 1,
                            !.groups = IF file.confirmed < Len(@) THEN @ ELSE Append(@, group.by)]
          ELSE file]
    /\ IF role[i] = "leading" THEN Tell(i, file.confirmed + 1, mem'[i].confirmed) ELSE UNCHANGED told
    /\ UNCHANGED <<role, sent>>

(* A leader stores its position with its next group only.                       *)
Read(i) ==
    LET record == log[mem[i].next]
        file == [mem[i] EXCEPT !.next = @ + 1]
    IN
    /\ role[i] # "deposed"
    /\ mem[i].next <= Len(log)
    /\ IF record.kind = "claim" THEN ReadClaim(i, record, file) ELSE ReadGroup(i, record, file)
    /\ disk' = IF role[i] = "leading" THEN disk ELSE [disk EXCEPT ![i] = mem'[i]]
    /\ UNCHANGED <<log, run>>

(* The process ends, and another one begins with what is on the disk.           *)
End(i, file) ==
    /\ run' = [run EXCEPT ![i] = @ + 1]
    /\ role' = [role EXCEPT ![i] = "following"]
    /\ mem' = [mem EXCEPT ![i] = file]
    /\ disk' = [disk EXCEPT ![i] = file]
    /\ UNCHANGED <<sent, log, told>>

(* A follower does nothing that others see before it has read the log to its    *)
(* end. So its reads come first, which leaves fewer states to look at.          *)
Behind == {i \in Instance : role[i] = "following" /\ mem[i].next <= Len(log)}

Next ==
    IF Behind # {} THEN \E i \in Behind : Read(i)
    ELSE
        \/ \E record \in sent : Arrive(record)
        \/ \E i \in Instance :
              \/ Claim(i)
              \/ Commit(i)
              \/ Read(i)
              \/ run[i] < MaxEnds /\ (End(i, disk[i]) \/ End(i, Empty))

Spec == Init /\ [][Next]_vars

------------------------------------------------------------------------------
Confirmed(file) == SubSeq(file.groups, 1, file.confirmed)

IsPrefix(one, other) == Len(one) <= Len(other) /\ SubSeq(other, 1, Len(one)) = one

(* Of two files, what is confirmed in one begins what is confirmed in the other.*)
OneHistory ==
    \A i, j \in Instance : \A one \in {mem[i], disk[i]}, other \in {mem[j], disk[j]} :
        IsPrefix(Confirmed(one), Confirmed(other)) \/ IsPrefix(Confirmed(other), Confirmed(one))

(* All who have read as much of the log agree on the epoch and on the groups.   *)
Agreement ==
    \A i, j \in Instance :
        mem[i].next = mem[j].next =>
            mem[i].epoch = mem[j].epoch /\ Confirmed(mem[i]) = Confirmed(mem[j])

(* What was told is in the file of every later leader, with the same number.    *)
NothingLost ==
    \A i \in Instance : role[i] = "leading" =>
        \A group \in told : group.epoch <= mem[i].epoch =>
            group.seq <= Len(mem[i].groups) /\ mem[i].groups[group.seq] = group.by

(* A group is told by the leader of the last claim before it in the log.        *)
NothingOfDeposed ==
    \A group \in told : \A offset \in 1..group.offset :
        offset <= Len(log) /\ log[offset].kind = "claim" => log[offset].epoch <= group.epoch

(* What was told is in the log.                                                 *)
OnlyWhatWasRead ==
    \A group \in told : group.offset <= Len(log) /\
        log[group.offset] = [kind |-> "group", epoch |-> group.epoch, seq |-> group.seq, by |-> group.by]

(* Instances are alike.                                                         *)
Alike == Permutations(Instance)
==============================================================================
