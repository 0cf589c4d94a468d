{#
    Words that carry no topic: English function words, the commonest verbs and adverbs, and the calendar. A parenthesised list in
    SQL, in lower case. Function words of other languages fall to `concept_max_share` instead.
#}
{% macro stop_words() -%}
{%- set words -%}
a about above actually after again against ago ain all almost along already also although always am among an and another
any anybody anyone anything anyway are aren around as ask asked at away back be became because become been before began
being below best better between both bring brought but by call called came can cannot cant come comes coming could couldn
day days did didn different do does doesn doing don done down during each either else enough etc even ever every everybody
everyone everything far feel feeling felt few find first for found from further gave get gets getting give given go goes
going gone gonna good got great guess had hadn happen happened has hasn have haven having he hear heard her here hers
herself hey him himself his how however if in indeed instead into is isn it its itself just keep kept kind knew know known
last later least left less let like little long look looked looking lot lots made make makes making many may maybe me mean
means might mine more most much must my myself need never new next no nobody none nor not nothing now of off often oh okay
on once one only onto or other others our ours ourselves out over own part perhaps please put quite rather really right
said same saw say saying says see seem seemed seems seen sent several shall she should shouldn show since so some somebody
someone something sometimes somewhere soon still stuff such sure take taken takes talk tell than thank thanks that the
their theirs them themselves then there therefore these they thing things think thinking this those though thought three
through thus till time times to today together told tomorrow tonight too took toward towards tried true try trying two
under until up upon us use used using very want wanted was wasn way ways we week weeks well went were weren what whatever
when where whether which while who whole whom whose why will wish with within without won would wouldn wow yeah year years
yes yesterday yet you your yours yourself yourselves
mr mrs ms miss dr
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october
november december morning afternoon evening night
{%- endset -%}
('{{ words.split() | join("', '") }}')
{%- endmacro %}
