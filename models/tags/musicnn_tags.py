"""The words that musicnn was taught: MagnaTagATune's fifty and the Million Song Dataset's fifty."""

from __future__ import annotations

MTT_TAGS: tuple[str, ...] = tuple(
    """guitar,classical,slow,techno,strings,drums,electronic,rock,fast,piano,ambient,beat,violin,
    vocal,synth,female,indian,opera,male,singing,vocals,no vocals,harpsichord,loud,quiet,flute,
    woman,male vocal,no vocal,pop,soft,sitar,solo,man,classic,choir,voice,new age,dance,male voice,
    female vocal,beats,harp,cello,no voice,weird,country,metal,female voice,choral""".replace(
        "\n    ", ""
    ).split(",")
)
MSD_TAGS: tuple[str, ...] = tuple(
    """rock,pop,alternative,indie,electronic,female vocalists,dance,00s,alternative rock,jazz,
    beautiful,metal,chillout,male vocalists,classic rock,soul,indie rock,mellow,electronica,80s,
    folk,90s,chill,instrumental,punk,oldies,blues,hard rock,ambient,acoustic,experimental,
    female vocalist,guitar,hip-hop,70s,party,country,easy listening,sexy,catchy,funk,electro,
    heavy metal,progressive rock,60s,rnb,indie pop,sad,house,happy""".replace("\n    ", "").split(
        ","
    )
)
